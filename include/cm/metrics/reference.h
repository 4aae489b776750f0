// The other side of a comparison: images, statistics that were computed of them before, or both.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cm/metrics/image_set.h"
#include "cm/metrics/statistics_file.h"

namespace cm {

// At least one of images and statistics. Where both are there, the statistics serve the Fréchet distances, as
// in the official release's reference files, and the images what needs them.
struct Reference {
  std::string path;
  std::optional<ImageSet> images;
  std::optional<ReferenceStatistics> statistics;
};

// An .npz with statistics (cm/metrics/statistics_file.h), images or both, or whatever load_images reads.
// InputError, with the path, for anything else.
Reference load_reference(const std::filesystem::path& path);

// The same for images at hand.
Reference reference_of(ImageSet images);

}  // namespace cm
