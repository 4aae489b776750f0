#include "cm/data/pictures.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/digits.h"
#include "cm/data/npz_dataset.h"
#include "cm/io/image.h"
#include "cm/io/npz.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

bool is_digits_csv(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".csv") || name.ends_with(".csv.gz");
}

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

std::vector<Picture> pictures_in(const fs::path& folder, int64_t channels, int64_t limit) {
  const std::vector<fs::path> files = image_files(folder);
  if (files.empty()) {
    throw InputError(
        concat(folder.string(), ": no images; expected PNG, JPEG, WebP, BMP or TIFF files directly in it"));
  }
  std::vector<Picture> pictures;
  for (size_t i = 0; i < files.size() && static_cast<int64_t>(i) < limit; ++i) {
    pictures.push_back({files[i].string(), read_image(files[i], channels), std::nullopt});
  }
  return pictures;
}

}  // namespace

std::vector<Picture> read_pictures(const fs::path& source, int64_t channels, int64_t limit) {
  if (fs::is_directory(source)) {
    const fs::path samples = source / "samples.npz";
    return fs::exists(samples) ? read_pictures(samples, channels, limit)
                               : pictures_in(source, channels, limit);
  }
  if (!fs::exists(source)) throw InputError(concat(source.string(), ": no such file or folder"));
  if (is_npz(source)) return pictures_of(*open_npz_dataset(source, true), source, channels, limit);
  if (is_digits_csv(source)) return pictures_of(*open_digits(source, true), source, channels, limit);
  return {{source.string(), read_image(source, channels), std::nullopt}};
}

}  // namespace cm
