#include "cm/metrics/reference.h"

#include <utility>

#include "cm/io/npz.h"

namespace cm {

Reference load_reference(const std::filesystem::path& path) {
  if (!is_npz(path) || !std::filesystem::exists(path)) return reference_of(load_images(path));
  const NpzArrays arrays = load_npz(path);
  Reference reference{
      .path = path.string(), .images = std::nullopt, .statistics = statistics_in(arrays, path.string())};
  if (arrays.contains("arr_0") || !reference.statistics) reference.images = images_in(arrays, path);
  return reference;
}

Reference reference_of(ImageSet images) {
  std::string path = images.path;
  return {.path = std::move(path), .images = std::move(images), .statistics = std::nullopt};
}

}  // namespace cm
