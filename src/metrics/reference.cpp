#include "cm/metrics/reference.h"

#include <string>
#include <utility>
#include <vector>

#include "cm/data/npz_dataset.h"
#include "cm/data/pictures.h"
#include "cm/io/npz.h"

namespace cm {

Reference load_reference(const std::filesystem::path& path) {
  const std::filesystem::path file = stored_path(path);
  if (!is_npz(file) || std::filesystem::is_directory(file)) return reference_of(load_images(path));
  std::vector<std::string> names = kStatisticsArrays;
  names.insert(names.end(), kImageArrays.begin(), kImageArrays.end());
  const NpzArrays arrays = load_npz(file, names);
  const std::string name = file.string();
  Reference reference{.path = name, .images = std::nullopt, .statistics = statistics_in(arrays, name)};
  if (arrays.contains("arr_0") || !reference.statistics) reference.images = images_in(arrays, file);
  return reference;
}

Reference reference_of(ImageSet images) {
  std::string path = images.path;
  return {.path = std::move(path), .images = std::move(images), .statistics = std::nullopt};
}

}  // namespace cm
