#include "cm/metrics/image_set.h"

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/digits.h"
#include "cm/data/npz_dataset.h"
#include "cm/io/image.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

ImageSet all_of(const Dataset& dataset, const fs::path& path) {
  Examples all = first_examples(dataset, dataset.size());
  ImageSet images{.path = path.string(), .pixels = std::move(all.pixels), .labels = std::nullopt};
  if (all.labels.defined()) images.labels = std::move(all.labels);
  return images;
}

// RGB whose three channels are equal everywhere, as one channel.
Tensor without_grey_copies(const Tensor& rgb) {
  const Tensor first = rgb.slice(1, 0, 1);
  return torch::equal(first.expand_as(rgb), rgb) ? first.contiguous() : rgb;
}

std::string size_of(const Tensor& image) {
  return concat(image.size(2), "×", image.size(1));
}

ImageSet images_of_folder(const fs::path& folder) {
  const auto files = image_files(folder);
  if (files.empty()) {
    throw InputError(
        concat(folder.string(), ": neither images nor samples.npz in this folder; name one that has them"));
  }
  std::vector<Tensor> pixels;
  for (const auto& file : files) {
    pixels.push_back(read_image(file, 3));
    if (pixels.back().sizes() != pixels.front().sizes()) {
      throw InputError(concat(file.string(), ": ", size_of(pixels.back()), " pixels, but ",
                              files.front().filename().string(), " has ", size_of(pixels.front()),
                              "; all images of a set must have one size"));
    }
  }
  return {
      .path = folder.string(), .pixels = without_grey_copies(torch::stack(pixels)), .labels = std::nullopt};
}

bool is_digits_csv(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".csv") || name.ends_with(".csv.gz");
}

}  // namespace

std::string to_string(const ImageShape& shape) {
  return concat(shape.channels, "×", shape.height, "×", shape.width);
}

ImageSet images_in(const NpzArrays& arrays, const fs::path& path) {
  return all_of(*npz_dataset(path, arrays, true), path);
}

ImageSet load_images(const fs::path& path) {
  if (fs::is_directory(path)) {
    const fs::path samples = path / "samples.npz";
    return fs::exists(samples) ? load_images(samples) : images_of_folder(path);
  }
  if (!fs::exists(path)) throw InputError(concat(path.string(), ": no such file or folder"));
  if (is_npz(path)) return images_in(load_npz(path), path);
  if (is_digits_csv(path)) return all_of(*open_digits(path, true), path);
  throw InputError(concat(path.string(),
                          ": unknown kind of image set; expected .npz, .csv, .csv.gz or a folder of images"));
}

}  // namespace cm
