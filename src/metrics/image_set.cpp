#include "cm/metrics/image_set.h"

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/npz_dataset.h"
#include "cm/data/pictures.h"

namespace cm {
namespace {

// RGB whose three channels are equal everywhere, as one channel.
Tensor without_grey_copies(const Tensor& rgb) {
  const Tensor first = rgb.slice(1, 0, 1);
  return torch::equal(first.expand_as(rgb), rgb) ? first.contiguous() : rgb;
}

std::string size_of(const Tensor& image) {
  return concat(image.size(2), "×", image.size(1));
}

ImageSet all_of(const StoredImages& images) {
  std::vector<Tensor> pixels;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) {
    Example image = images.get(i, images.channels().value_or(3));
    pixels.push_back(std::move(image.pixels));
    labels.push_back(image.label);
    if (pixels.back().sizes() != pixels.front().sizes()) {
      throw InputError(concat(images.where(i), ": ", size_of(pixels.back()), " pixels, but ", images.where(0),
                              " has ", size_of(pixels.front()), "; all images of a set must have one size"));
    }
  }
  const Tensor all = torch::stack(pixels);
  ImageSet set{.path = images.path(),
               .pixels = images.channels() ? all : without_grey_copies(all),
               .labels = std::nullopt};
  if (images.classes() > 0) set.labels = torch::tensor(labels, torch::kInt64);
  return set;
}

}  // namespace

std::string to_string(const ImageShape& shape) {
  return concat(shape.channels, "×", shape.height, "×", shape.width);
}

ImageSet images_in(const NpzArrays& arrays, const std::filesystem::path& path) {
  return all_of(*stored_images(npz_dataset(path, arrays, true), path));
}

ImageSet load_images(const std::filesystem::path& path) {
  if (const auto images = open_stored_images(path)) return all_of(*images);
  throw InputError(concat(path.string(), ": unknown kind of image set; expected ", stored_image_kinds()));
}

}  // namespace cm
