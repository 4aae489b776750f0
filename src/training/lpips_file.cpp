#include "cm/training/lpips_file.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/safetensors.h"
#include "cm/nn/network.h"

namespace cm {
namespace {

constexpr const char* kKind = "lpips_vgg16";

void check_kind(const std::string& path, const Metadata& metadata) {
  const std::string kind = metadata_at(metadata, "kind");
  if (kind != kKind) {
    throw InputError(
        concat(path, ": holds no weights of LPIPS (metadata kind is '", kind, "', expected '", kKind, "')"));
  }
}

void check_linear_weights(const std::string& path, const NamedTensors& weights) {
  for (const auto& [name, tensor] : weights) {
    if (!name.starts_with("lin")) continue;
    const double smallest = tensor.min().item<double>();
    const bool good = smallest >= 0;  // not where it is NaN
    if (!good) throw InputError(concat(path, ": ", name, " must be at least 0 everywhere, got ", smallest));
  }
}

}  // namespace

std::shared_ptr<const Lpips> load_lpips(const std::filesystem::path& path, const torch::Device& device) {
  try {
    const SafetensorsFile file = load_safetensors(path);
    check_kind(path.string(), file.metadata);
    auto lpips = std::make_shared<Lpips>();
    copy_weights(file.tensors, *lpips, path.string());
    check_linear_weights(path.string(), file.tensors);
    lpips->to(device);
    return lpips;
  } catch (const InputError& mistake) {
    throw InputError(concat(mistake.what(), "; ", kLpipsCommand, " makes the weights of LPIPS"));
  }
}

}  // namespace cm
