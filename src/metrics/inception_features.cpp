#include "cm/metrics/inception_features.h"

#include <ATen/Context.h>

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/nn/network.h"

namespace cm {
namespace {

// An image takes up to 20 MB between two layers, and larger batches are no faster.
constexpr int64_t kImagesAtOnce = 32;

// cuDNN and cuBLAS in whole fp32 while this lives: TF32's 10 bits would show in a distance's third digit.
class WholeFp32 {
 public:
  WholeFp32() : cudnn_(at::globalContext().allowTF32CuDNN()), cublas_(at::globalContext().allowTF32CuBLAS()) {
    set(false, false);
  }
  ~WholeFp32() { set(cudnn_, cublas_); }
  WholeFp32(const WholeFp32&) = delete;
  WholeFp32& operator=(const WholeFp32&) = delete;

 private:
  static void set(bool cudnn, bool cublas) {
    at::globalContext().setAllowTF32CuDNN(cudnn);
    at::globalContext().setAllowTF32CuBLAS(cublas);
  }
  bool cudnn_;
  bool cublas_;
};

void check_inception_kind(const std::string& path, const Metadata& metadata) {
  const auto found = metadata.find("kind");
  const std::string kind = found == metadata.end() ? "" : found->second;
  if (kind != kInceptionKind) {
    throw InputError(concat(path, ": holds no weights of Inception (metadata kind is '", kind,
                            "', expected '", kInceptionKind, "')"));
  }
}

void check_finite(const std::string& path, const NamedTensors& weights) {
  for (const auto& [name, tensor] : weights) {
    if (!torch::isfinite(tensor).all().item<bool>()) {
      throw InputError(concat(path, ": ", name, " holds NaN or infinite numbers"));
    }
    if (name.ends_with("running_var") && tensor.min().item<double>() < 0) {
      throw InputError(
          concat(path, ": ", name, " must be at least 0 everywhere, got ", tensor.min().item<double>()));
    }
  }
}

// What the file says of where its weights come from.
Details source_of(const Metadata& metadata) {
  Details source;
  for (const char* key : {"source", "source_sha256"}) {
    const auto found = metadata.find(key);
    if (found != metadata.end()) source.insert(*found);
  }
  return source;
}

SafetensorsFile read_inception(const std::filesystem::path& path) {
  SafetensorsFile file = load_safetensors(path);
  check_inception_kind(path.string(), file.metadata);
  check_weights(file.tensors, Inception::weights_like(), path.string());
  check_finite(path.string(), file.tensors);
  return file;
}

SafetensorsFile read_with_advice(const std::filesystem::path& path) {
  try {
    return read_inception(path);
  } catch (const InputError& mistake) {
    throw InputError(concat(mistake.what(), "; ", kInceptionCommand, " makes the weights of Inception"));
  }
}

}  // namespace

InceptionFeatures::InceptionFeatures(const std::filesystem::path& file, InceptionResize resize,
                                     torch::Device device)
    : InceptionFeatures(file, read_with_advice(file), resize, device) {}

InceptionFeatures::InceptionFeatures(const std::filesystem::path& file, const SafetensorsFile& content,
                                     InceptionResize resize, torch::Device device)
    : file_(file),
      resize_(resize),
      device_(device),
      source_(source_of(content.metadata)),
      network_(content.tensors, device, file.string()) {}

Details InceptionFeatures::details() const {
  Details all = source_;
  all["resize"] = to_string(resize_);
  return all;
}

Activations InceptionFeatures::operator()(const Tensor& pixels, const Wanted& wanted) const {
  const InceptionOutputs outputs = {
      .pool = wanted.features, .spatial = wanted.spatial, .logits = wanted.logits};
  const WholeFp32 precision;
  std::vector<Tensor> pool;
  std::vector<Tensor> spatial;
  std::vector<Tensor> logits;
  for (const Tensor& part : pixels.split(kImagesAtOnce)) {
    const InceptionActivations found = network_.forward(inception_input(part.to(device_), resize_), outputs);
    pool.push_back(found.pool);
    spatial.push_back(found.spatial);
    logits.push_back(found.logits);
  }
  Activations activations;
  if (wanted.features) activations.features = torch::cat(pool);
  if (wanted.spatial) activations.spatial = torch::cat(spatial);
  if (wanted.logits) activations.logits = torch::cat(logits);
  return activations;
}

}  // namespace cm
