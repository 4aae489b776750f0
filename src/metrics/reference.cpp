#include "cm/metrics/reference.h"

#include <string>
#include <utility>
#include <vector>

#include "cm/data/image_source.h"
#include "cm/data/npz_dataset.h"
#include "cm/io/npz.h"

namespace cm {

Reference load_reference(const std::filesystem::path& path) {
  const ImageSource source = image_source(path);
  if (source.kind != ImageSourceKind::npz) return reference_of(load_images(path));
  std::vector<std::string> names = kStatisticsArrays;
  names.insert(names.end(), kImageArrays.begin(), kImageArrays.end());
  const NpzArrays arrays = load_npz(source.path, names);
  const std::string name = source.path.string();
  Reference reference{.path = name, .images = std::nullopt, .statistics = statistics_in(arrays, name)};
  if (arrays.contains("arr_0") || !reference.statistics) reference.images = images_in(arrays, source.path);
  return reference;
}

Reference reference_of(ImageSet images) {
  std::string path = images.path;
  return {.path = std::move(path), .images = std::move(images), .statistics = std::nullopt};
}

}  // namespace cm
