#include "cm/metrics/inception_features.h"

#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/safetensors.h"
#include "whole_fp32.h"

namespace cm {
namespace {

void check_inception_kind(const std::string& path, const Metadata& metadata) {
  const std::string kind = metadata_at(metadata, "kind");
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

}  // namespace

InceptionFeatures::Loaded InceptionFeatures::load(const std::filesystem::path& file, torch::Device device) {
  try {
    const SafetensorsFile content = load_safetensors(file);
    check_inception_kind(file.string(), content.metadata);
    Inception network(content.tensors, device, file.string());
    check_finite(file.string(), content.tensors);
    return {std::move(network), source_of(content.metadata)};
  } catch (const InputError& mistake) {
    throw InputError(concat(mistake.what(), "; ", kInceptionCommand, " makes the weights of Inception"));
  }
}

InceptionFeatures::InceptionFeatures(const std::filesystem::path& file, InceptionResize resize,
                                     torch::Device device)
    : file_(file), resize_(resize), device_(device), loaded_(load(file, device)) {}

Details InceptionFeatures::details() const {
  Details all = loaded_.source;
  all[kResizeDetail] = to_string(resize_);
  return all;
}

Activations InceptionFeatures::operator()(const Tensor& pixels, const Wanted& wanted) const {
  const WholeFp32 precision;
  const InceptionActivations found =
      loaded_.network.forward(inception_input(pixels.to(device_), resize_),
                              {.pool = wanted.features, .spatial = wanted.spatial, .logits = wanted.logits});
  Activations activations;
  activations.features = found.pool;
  if (wanted.spatial) activations.spatial = found.spatial;
  if (wanted.logits) activations.logits = found.logits;
  return activations;
}

}  // namespace cm
