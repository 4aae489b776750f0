// The images of a folder or of a zip archive: which files are read, in which order, and of which class each
// is. Whatever takes images from a folder takes them from here (docs/data.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kinds.h"

namespace cm {

struct FileTree;

// Of all files below the folder, links followed, or in the archive, those are images whose suffix says so, in
// the order of their names, folder after folder. Hidden files and files with other suffixes are left out,
// which a line of the log counts.
//
// Their classes are those of dataset.json where the folder or archive has one (EDM's format). Otherwise class
// k is the k-th folder in it by name, with all that lies below it, or there are none where images lie in no
// folder. Without `labels` neither is looked at, and there are no classes.
class ImageFiles final : public StoredImages {
 public:
  // InputError, with every mistake found, when `path` is neither a folder nor a .zip or has no images; an
  // image is empty, of a format that is not read, or, in a folder, unreadable or of no known format by its
  // first bytes; links lead nowhere or in a loop; images lie both beside folders and in them, or folders have
  // none; dataset.json lies deeper, or is at odds with the images.
  explicit ImageFiles(const std::filesystem::path& path, bool labels = true);
  ~ImageFiles() override;

  int64_t size() const override;
  int64_t classes() const override { return classes_; }
  std::optional<int64_t> channels() const override { return std::nullopt; }
  // Its pixels by decode_image (cm/io/image.h), its label 0 where there are no classes; any thread may ask.
  Example get(int64_t index, int64_t channels) const override {
    return {read(index, channels), label(index)};
  }
  int64_t label(int64_t index) const { return labels_.empty() ? 0 : labels_.at(static_cast<size_t>(index)); }
  // The file's path; "x.zip/a.png" in an archive.
  std::string where(int64_t index) const override;
  Tensor read(int64_t index, int64_t channels) const;

 private:
  std::unique_ptr<const FileTree> images_;
  std::vector<int64_t> labels_;
  int64_t classes_ = 0;
};

// Data of image files (kind folder): each becomes [channels, image_size, image_size] by center_crop
// (cm/data/resize.h).
DataKind image_files_kind();

}  // namespace cm
