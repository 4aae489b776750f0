// The images of a folder or a zip archive as a dataset, decoded when they are asked for.
#pragma once

#include <filesystem>
#include <memory>

#include "cm/data/dataset.h"

namespace cm {

// The images and classes (none without `labels`) that ImageFiles (image_files.h) finds, with its errors.
// Every image becomes [channels, size, size] by center_crop (resize.h).
std::unique_ptr<Dataset> open_image_folder(const std::filesystem::path& path, int64_t size, int64_t channels,
                                           bool labels);

}  // namespace cm
