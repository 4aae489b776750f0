// What a path that stands for images is: the one place where that is decided for whoever takes several kinds.
#pragma once

#include <filesystem>

namespace cm {

enum class ImageSourceKind {
  files,    // a folder or a .zip of image files (image_files.h)
  npz,      // arrays (npz_dataset.h)
  digits,   // UCI's digits, .csv or .csv.gz (digits.h)
  picture,  // any other file
};

struct ImageSource {
  ImageSourceKind kind;
  std::filesystem::path path;
};

// By the path's suffix. A folder that holds a samples.npz, as cm-sample writes it, stands for that file.
// InputError with the path when nothing is there.
ImageSource image_source(const std::filesystem::path& path);

}  // namespace cm
