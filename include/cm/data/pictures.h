// Images by their path alone, as they are stored: for whoever takes every kind of data and brings the images
// to a size itself, or to none.
#pragma once

#include <filesystem>

#include "cm/data/dataset.h"

namespace cm {

class StoredImages {
 public:
  explicit StoredImages(const std::filesystem::path& path) : path_(path.string()) {}
  virtual ~StoredImages() = default;

  const std::string& path() const { return path_; }
  virtual int64_t size() const = 0;
  // 0 where the data has no labels.
  virtual int64_t classes() const = 0;
  // Those that all images have; none where each is brought to what is asked for.
  virtual std::optional<int64_t> channels() const = 0;
  // uint8 [channels, H, W] and the class, `index` in [0, size()); `channels` 1 or 3, or channels(). Any
  // thread may ask. InputError when the image is broken.
  virtual Example get(int64_t index, int64_t channels) const = 0;
  // The image's name, for messages.
  virtual std::string where(int64_t index) const = 0;

 private:
  std::string path_;
};

// Those of a dataset that was read from `path`, named path#index.
std::unique_ptr<StoredImages> stored_images(std::unique_ptr<Dataset> dataset,
                                            const std::filesystem::path& path);

// Where the images of a path are: a folder with a samples.npz, as cm-sample writes it, stands for that file.
// InputError with the path when nothing is there.
std::filesystem::path stored_path(const std::filesystem::path& path);

// What stored_path(path) holds, with its labels, by the last of the kinds (src/data/kinds.h) that recognise
// it; null where none does. Errors of the kind's.
std::unique_ptr<StoredImages> open_stored_images(const std::filesystem::path& path);

// The paths that are recognised, for messages and the help of an option: "digits .csv.gz, … or …".
std::string stored_image_kinds();

struct Picture {
  std::string name;              // the file, and "#i" where it holds several
  Tensor pixels;                 // uint8 [C, H, W]
  std::optional<int64_t> label;  // its class, where the data knows it
};

// At most the first `limit` of what open_stored_images opens; a path that no kind recognises is an image
// file. `channels` is 1 or 3; image files are converted. InputError with the path when it is missing, holds
// no image, is broken, or its images have other channels.
std::vector<Picture> read_pictures(const std::filesystem::path& source, int64_t channels, int64_t limit);

}  // namespace cm
