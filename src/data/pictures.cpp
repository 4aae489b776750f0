#include "cm/data/pictures.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/digits.h"
#include "cm/data/image_files.h"
#include "cm/data/image_source.h"
#include "cm/data/npz_dataset.h"
#include "cm/io/image.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

std::vector<Picture> pictures_of(const Dataset& dataset, const fs::path& path, int64_t channels,
                                 int64_t limit) {
  if (dataset.channels() != channels) {
    throw InputError(concat(path.string(), ": has images of ", dataset.channels(),
                            " channel(s), and the model's have ", channels));
  }
  std::vector<Picture> pictures;
  for (int64_t i = 0; i < std::min(dataset.size(), limit); ++i) {
    const Example example = dataset.get(i);
    Picture picture{.name = concat(path.string(), "#", i), .pixels = example.pixels, .label = std::nullopt};
    if (dataset.classes() > 0) picture.label = example.label;
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

std::vector<Picture> pictures_in(const fs::path& path, int64_t channels, int64_t limit) {
  const ImageFiles files(path);
  std::vector<Picture> pictures;
  for (int64_t i = 0; i < std::min(files.size(), limit); ++i) {
    Picture picture{.name = files.where(i), .pixels = files.read(i, channels), .label = std::nullopt};
    if (files.classes() > 0) picture.label = files.label(i);
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

}  // namespace

std::vector<Picture> read_pictures(const fs::path& source, int64_t channels, int64_t limit) {
  const auto [kind, path] = image_source(source);
  switch (kind) {
    case ImageSourceKind::files:
      return pictures_in(path, channels, limit);
    case ImageSourceKind::npz:
      return pictures_of(*open_npz_dataset(path, true), path, channels, limit);
    case ImageSourceKind::digits:
      return pictures_of(*open_digits(path, true), path, channels, limit);
    case ImageSourceKind::picture:
      return {{path.string(), read_image(path, channels), std::nullopt}};
  }
  TORCH_CHECK(false, "unknown kind of images");
}

}  // namespace cm
