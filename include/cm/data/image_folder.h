// Image files in a folder, decoded when they are asked for.
#pragma once

#include <filesystem>
#include <memory>

#include "cm/data/dataset.h"

namespace cm {

// A folder of images (no classes), or a folder of subfolders of images: class k is the k-th subfolder by name
// (0 classes without `labels`). Deeper folders and hidden ones are not looked at. Every image becomes
// [channels, size, size] by center_crop (resize.h). InputError, with every file that is empty or whose
// first bytes are of no known image format, when the folder is missing, has no images, has images both beside
// and inside subfolders, or an empty class.
std::unique_ptr<Dataset> open_image_folder(const std::filesystem::path& path, int64_t size, int64_t channels,
                                           bool labels);

}  // namespace cm
