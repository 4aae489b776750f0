#include "patches.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "cm/io/zip_archive.h"
#include "file_mistakes.h"
#include "image_files.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPatchSide = 32;

class Patches final : public Dataset {
 public:
  Patches(std::vector<Tensor> pictures, int64_t side, bool labels, const PatchOptions& options)
      : pictures_(std::move(pictures)), side_(side), labels_(labels), options_(options) {
    for (const Tensor& picture : pictures_) {
      ends_.push_back((ends_.empty() ? 0 : ends_.back()) + rows_in(picture) * columns_in(picture));
    }
  }

  int64_t size() const override { return options_.count; }
  int64_t channels() const override { return pictures_.front().size(0); }
  int64_t image_size() const override { return side_; }
  int64_t classes() const override { return labels_ ? static_cast<int64_t>(pictures_.size()) : 0; }

  // One draw among all positions, picture after picture, row after row, gives picture and place.
  Example get(int64_t index) const override {
    TORCH_CHECK(index >= 0 && index < size(), "patch ", index, " of ", size());
    const RandomKey key{static_cast<uint64_t>(options_.seed), Purpose::patches,
                        static_cast<uint32_t>(index >> 32)};
    const int64_t position = key.below(ends_.back(), static_cast<uint32_t>(index));
    const auto k = static_cast<size_t>(std::ranges::upper_bound(ends_, position) - ends_.begin());
    const int64_t place = position - (k == 0 ? 0 : ends_[k - 1]);
    const int64_t top = place / columns_in(pictures_[k]);
    const int64_t left = place % columns_in(pictures_[k]);
    return {pictures_[k].narrow(1, top, side_).narrow(2, left, side_), labels_ ? static_cast<int64_t>(k) : 0};
  }

 private:
  int64_t rows_in(const Tensor& picture) const { return picture.size(1) - side_ + 1; }
  int64_t columns_in(const Tensor& picture) const { return picture.size(2) - side_ + 1; }

  std::vector<Tensor> pictures_;
  std::vector<int64_t> ends_;  // positions in pictures 0 … k together
  int64_t side_;
  bool labels_;
  PatchOptions options_;
};

bool is_grey(const Tensor& pixels) {
  return torch::equal(pixels.slice(0, 0, 1).expand_as(pixels), pixels);
}

// Without the rows and columns that are no whole pixel of the reduced picture, so that each of it is a plain
// mean.
Tensor reduced(const Tensor& pixels, int64_t factor) {
  const int64_t height = pixels.size(1) / factor;
  const int64_t width = pixels.size(2) / factor;
  const Tensor whole = pixels.narrow(1, 0, height * factor).narrow(2, 0, width * factor);
  return factor == 1 ? pixels : resize(whole, height, width, ResizeFilter::box);
}

// `where` names the picture in messages.
Tensor checked_picture(const Tensor& pixels, const std::string& where, int64_t side, int64_t channels,
                       int64_t factor) {
  const int64_t height = pixels.size(1) / factor;
  const int64_t width = pixels.size(2) / factor;
  if (height < side || width < side) {
    throw InputError(concat(where, ": is ", pixels.size(2), "×", pixels.size(1), " pixels",
                            factor == 1 ? "" : concat(", reduced to ", width, "×", height),
                            ", too small for patches of ", side, "×", side,
                            "; remove it, or make data.image_size or data.patches.reduce smaller"));
  }
  if (channels == 3 && is_grey(pixels)) {
    throw InputError(
        concat(where, ": is grey, and data.channels is 3; remove it, or set data.channels to 1"));
  }
  return reduced(pixels, factor);
}

std::unique_ptr<Dataset> open_patches(const DataOptions& options) {
  const fs::path path = options.path;
  const int64_t size = options.image_size.value_or(kPatchSide);
  const int64_t channels = options.channels.value_or(kDefaultChannels);
  const PatchOptions draw = options.patches.value_or(PatchOptions());
  std::vector<Tensor> pictures;
  FileMistakes mistakes;
  const auto add = [&](const std::string& where, const auto& read) {
    try {
      pictures.push_back(checked_picture(read(), where, size, channels, draw.reduce));
    } catch (const InputError& mistake) {
      mistakes.add(mistake.what());
    }
  };
  std::error_code ignored;
  if (fs::is_directory(path, ignored) || is_zip(path)) {
    const ImageFiles files(path, /*labels=*/false);
    for (int64_t i = 0; i < files.size(); ++i) add(files.where(i), [&] { return files.read(i, channels); });
  } else {
    add(path.string(), [&] { return read_image(path, channels); });
  }
  mistakes.throw_if_any(path.string());
  return std::make_unique<Patches>(std::move(pictures), size, options.labels, draw);
}

}  // namespace

DataKind patches_kind() {
  return {
      .name = "patches",
      .help = "random squares of pictures, class = picture",
      .data_path = "a picture, or a folder or .zip of pictures, data/photographs of this project among them",
      .open = open_patches,
      .default_size = kPatchSide};
}

}  // namespace cm
