// Pictures as they are stored, of any size, for those who bring them to a model's size themselves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

struct Picture {
  std::string name;              // the file, and "#i" where it holds several
  Tensor pixels;                 // uint8 [C, H, W]
  std::optional<int64_t> label;  // its class, where the data knows it
};

// At most the first `limit` pictures of
//   an image file
//   a folder, X.zip  the images of image_files.h, with their classes if there; a folder with a samples.npz,
//   as
//                    cm-sample writes it, is that file
//   X.npz            arr_0 uint8 [N, S, S, C], with the classes arr_1 if there
//   X.csv, X.csv.gz  UCI's digits, with their classes
// `channels` is 1 or 3; image files are converted. InputError with the path when it is missing, holds no
// image, is broken, or is an archive of images with other channels.
std::vector<Picture> read_pictures(const std::filesystem::path& source, int64_t channels, int64_t limit);

}  // namespace cm
