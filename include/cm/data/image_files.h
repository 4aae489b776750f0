// The images of a folder or of a zip archive: which files are read, in which order, and of which class each
// is. Whatever takes images from a folder takes them from here (docs/data.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

struct FileTree;

// Of all files below the folder, links followed, or in the archive, those are images whose suffix says so, in
// the order of their names, folder after folder. Hidden files and files with other suffixes are left out,
// which a line of the log counts.
//
// Their classes are those of dataset.json where the folder or archive has one (EDM's format). Otherwise class
// k is the k-th folder in it by name, with all that lies below it, or there are none where images lie in no
// folder. Without `labels` neither is looked at, and there are no classes.
class ImageFiles {
 public:
  // InputError, with every mistake found, when `path` is neither a folder nor a .zip or has no images; an
  // image is empty, of a format that is not read, or, in a folder, unreadable or of no known format by its
  // first bytes; links lead nowhere or in a loop; images lie both beside folders and in them, or folders have
  // none; dataset.json lies deeper, or is at odds with the images.
  explicit ImageFiles(const std::filesystem::path& path, bool labels = true);
  ~ImageFiles();

  int64_t size() const;
  // 0 where the data has no labels.
  int64_t classes() const { return classes_; }
  // 0 where there are no classes.
  int64_t label(int64_t index) const { return labels_.empty() ? 0 : labels_.at(static_cast<size_t>(index)); }
  // The file's path, for messages; "x.zip/a.png" in an archive.
  std::string where(int64_t index) const;
  // uint8 [channels, H, W] by decode_image (cm/io/image.h); any thread may ask. InputError when it is broken.
  Tensor read(int64_t index, int64_t channels) const;

 private:
  std::unique_ptr<const FileTree> images_;
  std::vector<int64_t> labels_;
  int64_t classes_ = 0;
};

}  // namespace cm
