#include "cm/data/npz_dataset.h"

#include <string>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "kinds.h"
#include "memory_dataset.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

std::string describe(const Tensor& array) {
  return concat(array.scalar_type(), " ", array.sizes());
}

// uint8 [N, S, S, C] → [N, C, S, S].
Tensor checked_pixels(const fs::path& path, const NpzArrays& arrays) {
  const auto found = arrays.find("arr_0");
  if (found == arrays.end()) {
    throw InputError(
        concat(path.string(), ": no array arr_0; save the images with numpy.savez(file, images, labels)"));
  }
  const Tensor& array = found->second;
  const bool valid = array.scalar_type() == torch::kUInt8 && array.dim() == 4 && array.size(0) > 0 &&
                     array.size(1) > 0 && array.size(1) == array.size(2) &&
                     (array.size(3) == 1 || array.size(3) == 3);
  if (!valid) {
    throw InputError(
        concat(path.string(), ": arr_0 is ", describe(array),
               ", expected square images, uint8 [N, S, S, C] with C = 1 or 3; ",
               array.is_floating_point()
                   ? "x in [-1, 1] becomes that by numpy.rint((x + 1) * 127.5).clip(0, 255).astype('uint8')"
                   : "convert it with NumPy"));
  }
  return array.permute({0, 3, 1, 2});
}

Tensor checked_labels(const fs::path& path, const Tensor& array, int64_t count) {
  const bool integral = at::isIntegralType(array.scalar_type(), /*includeBool=*/false);
  if (!integral || array.dim() != 1 || array.size(0) != count) {
    throw InputError(concat(path.string(), ": arr_1 is ", describe(array),
                            ", expected the classes, integers [", count,
                            "]; correct it, or set data.labels=false"));
  }
  const Tensor labels = array.to(torch::kInt64);
  const auto smallest = labels.min().item<int64_t>();
  const auto largest = labels.max().item<int64_t>();
  if (smallest < 0 || largest >= kMaxClasses) {
    throw InputError(concat(path.string(), ": arr_1 has class ", smallest < 0 ? smallest : largest,
                            ", expected 0 to ", kMaxClasses - 1, "; correct it, or set data.labels=false"));
  }
  return labels;
}

}  // namespace

std::unique_ptr<Dataset> npz_dataset(const fs::path& path, const NpzArrays& arrays, bool labels) {
  const Tensor pixels = checked_pixels(path, arrays);
  const auto found = arrays.find("arr_1");
  if (!labels || found == arrays.end()) return std::make_unique<InMemoryDataset>(pixels, Tensor(), 0);
  const Tensor classes = checked_labels(path, found->second, pixels.size(0));
  return std::make_unique<InMemoryDataset>(pixels, classes, classes.max().item<int64_t>() + 1);
}

DataKind npz_kind() {
  return {.name = "npz",
          .help = "arr_0, arr_1",
          .data_path = "an .npz file with the images as arr_0, uint8 [N, S, S, C]",
          .open =
              [](const DataOptions& options) {
                return npz_dataset(options.path, load_npz(options.path, kImageArrays), options.labels);
              },
          .recognises = [](const fs::path& path) { return is_npz(path) && !fs::is_directory(path); },
          .recognised = ".npz (arr_0)"};
}

}  // namespace cm
