// Inception's features, by which FID, sFID and the Inception Score are defined.
#pragma once

#include "cm/metrics/features.h"
#include "cm/metrics/inception_input.h"
#include "cm/nn/inception.h"

namespace cm {

// What scripts/export_inception.py writes as a file's metadata `kind`.
inline constexpr auto kInceptionKind = "inception_v3_fid";

// What to tell a user who has no such file.
inline constexpr auto kInceptionCommand =
    ".venv/bin/python scripts/export_inception.py pt_inception-2015-12-05-6726825d.pth --out "
    "weights/inception.safetensors";

class InceptionFeatures : public FeatureExtractor {
 public:
  // InputError, with the command that makes the file, when it is missing, is something else, holds other
  // tensors or numbers that aren't finite.
  InceptionFeatures(const std::filesystem::path& file, InceptionResize resize, torch::Device device);

  std::string name() const override { return "inception"; }
  int64_t width() const override { return Inception::kPoolWidth; }
  int64_t classes() const override { return Inception::kClasses; }
  bool is_inception() const override { return true; }
  std::optional<std::filesystem::path> file() const override { return file_; }
  // "resize", and which file the weights were taken from: "source", "source_sha256".
  Details details() const override;
  int64_t most_at_once() const override { return 32; }  // an image takes up to 20 MB between two layers
  // One pass of the network for all that is wanted: `features` are pool_3, `spatial` sFID's, `logits` those
  // without bias. Images of any size, grey or RGB. On CUDA too in whole fp32, without TF32.
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override;

 private:
  struct Loaded {
    Inception network;
    Details source;
  };
  static Loaded load(const std::filesystem::path& file, torch::Device device);

  std::filesystem::path file_;
  InceptionResize resize_;
  torch::Device device_;
  Loaded loaded_;
};

}  // namespace cm
