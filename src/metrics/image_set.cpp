#include "cm/metrics/image_set.h"

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/digits.h"
#include "cm/data/image_files.h"
#include "cm/data/image_source.h"
#include "cm/data/npz_dataset.h"

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

ImageSet all_of(const ImageFiles& files, const fs::path& path) {
  std::vector<Tensor> pixels;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < files.size(); ++i) {
    pixels.push_back(files.read(i, 3));
    labels.push_back(files.label(i));
    if (pixels.back().sizes() != pixels.front().sizes()) {
      throw InputError(concat(files.where(i), ": ", size_of(pixels.back()), " pixels, but ", files.where(0),
                              " has ", size_of(pixels.front()), "; all images of a set must have one size"));
    }
  }
  ImageSet images{
      .path = path.string(), .pixels = without_grey_copies(torch::stack(pixels)), .labels = std::nullopt};
  if (files.classes() > 0) images.labels = torch::tensor(labels, torch::kInt64);
  return images;
}

}  // namespace

std::string to_string(const ImageShape& shape) {
  return concat(shape.channels, "×", shape.height, "×", shape.width);
}

ImageSet images_in(const NpzArrays& arrays, const fs::path& path) {
  return all_of(*npz_dataset(path, arrays, true), path);
}

ImageSet load_images(const fs::path& path) {
  const ImageSource source = image_source(path);
  switch (source.kind) {
    case ImageSourceKind::files:
      return all_of(ImageFiles(path), path);
    case ImageSourceKind::npz:
      return all_of(*open_npz_dataset(source.path, true), source.path);
    case ImageSourceKind::digits:
      return all_of(*open_digits(path, true), path);
    case ImageSourceKind::picture:
      break;
  }
  throw InputError(concat(path.string(), ": unknown kind of image set; expected ", kImageSets));
}

}  // namespace cm
