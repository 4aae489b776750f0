#include "cm/metrics/reference.h"

#include <utility>

#include "cm/io/npz.h"

namespace cm {

Reference load_reference(const std::filesystem::path& path) {
  Reference reference{.path = path.string(), .images = std::nullopt, .statistics = std::nullopt};
  bool has_images = true;
  if (is_npz(path) && std::filesystem::exists(path)) {
    const NpzArrays arrays = load_npz(path);
    reference.statistics = statistics_in(arrays, path.string());
    has_images = arrays.contains("arr_0") || !reference.statistics;
  }
  if (has_images) reference.images = load_images(path);
  return reference;
}

Reference reference_of(ImageSet images) {
  std::string path = images.path;
  return {.path = std::move(path), .images = std::move(images), .statistics = std::nullopt};
}

}  // namespace cm
