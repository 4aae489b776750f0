// Random square patches of a few pictures.
#pragma once

#include <filesystem>
#include <memory>

#include "cm/data/dataset.h"

namespace cm {

// `path`: a picture, or a folder or .zip of them (image_files.h). Each is decoded once, reduced by
// `options.reduce` (every pixel the mean of reduce × reduce; the rows and columns left over at the end are
// cut off) and kept as uint8; a patch is a view of it.
//
// Patch i, [channels, size, size], is drawn from (options.seed, i) alone, uniformly among all positions in
// all pictures, so that a picture is chosen in proportion to the positions it has. Class k is the k-th
// picture by name (0 classes without `labels`).
//
// InputError, with every picture that is broken, smaller than a patch, or grey where `channels` is 3, when
// there is one, and with the path where there are no pictures.
std::unique_ptr<Dataset> open_patches(const std::filesystem::path& path, int64_t size, int64_t channels,
                                      bool labels, const PatchOptions& options);

}  // namespace cm
