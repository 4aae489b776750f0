// The layers that the networks are made of. Each registers its parameters under PyTorch's names and fills
// them from an Initializer; none has a training mode or touches a global generator. What they take may be
// dual (cm/base/dual.h): then their tangents leave no graph behind.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cm/base/tensor.h"
#include "cm/kernels/group_norm.h"

namespace cm {

// Initial weights: tensor number i of a network depends on (seed, i) alone. Without a seed everything is
// zero, for networks whose weights are loaded right after.
class Initializer {
 public:
  explicit Initializer(std::optional<uint64_t> seed = std::nullopt) : seed_(seed) {}
  // Uniform in [−bound, bound].
  Tensor uniform(at::IntArrayRef shape, double bound);
  // N(0, 1).
  Tensor normal(at::IntArrayRef shape);

 private:
  std::optional<uint64_t> seed_;
  uint32_t next_ = 0;
};

// x [B, in] → [B, out]; weight and bias uniform in ±1/√in (PyTorch's default), or with a gain as in
// Conv2dOptions. They are cast to the type of x.
class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(Initializer& initializer, int64_t in, int64_t out,
             std::optional<double> xavier_gain = std::nullopt);
  Tensor forward(const Tensor& x) const;
  Tensor weight;
  Tensor bias;
};
TORCH_MODULE(Linear);

// `weight`, a layer's own in fp32, in the type of the activations x that it meets, that of a convolution laid
// out as those of the type read it; itself where the types are the same. Differentiable.
Tensor weight_for(const Tensor& weight, const Tensor& x);

// Converts the weights of all convolutions of a network to `type` for good, its last one's aside, which is
// given. Their biases stay in fp32, for whoever adds them.
void hold_convolutions(torch::nn::Module& network, const Tensor& last, torch::Dtype type);

struct Conv2dOptions {
  int64_t in;
  int64_t out;
  int64_t kernel = 3;
  int64_t stride = 1;
  bool zero = false;  // weight and bias 0 at the start, otherwise uniform in ±1/√(in · kernel²)
  // Instead: weight uniform in ±gain √(6 / ((in + out) kernel²)) (Glorot & Bengio 2010), bias 0.
  std::optional<double> xavier_gain = std::nullopt;
};

// x [B, in, H, W] → [B, out, H/stride, W/stride], "same" padding. The weight is cast to the type of x.
class Conv2dImpl : public torch::nn::Module {
 public:
  Conv2dImpl(Initializer& initializer, const Conv2dOptions& options);
  Tensor forward(const Tensor& x) const;
  // The same of one or two images, with its bias yet to be added.
  Biased without_bias(const Joined& x) const;
  // (kept + forward(x)) · factor in as few passes as there are; stride 1.
  Tensor added_to(const Biased& kept, const Tensor& x, double factor = 1) const;
  Tensor weight;
  Tensor bias;

 private:
  Tensor convolved(const Joined& x, const Tensor& added) const;

  int64_t stride_;
  int64_t padding_;
};
TORCH_MODULE(Conv2d);

struct GroupNormOptions {
  int64_t groups = 32;  // a divisor of the channels
  double epsilon = 1e-5;
  // Of a scaling and shifting condition: both halves are normalised by pixel_norm, and the first scales
  // without the 1 (sCM's adaptive double normalization).
  bool double_norm = false;
};

// x [B, C, …] divided by the root mean square over its channels (Karras et al. 2017, §4.2).
Tensor pixel_norm(const Tensor& x);

// Group normalisation, scale 1 and shift 0 at the start.
class GroupNormImpl : public torch::nn::Module {
 public:
  explicit GroupNormImpl(int64_t channels, const GroupNormOptions& options = {});
  // x [B, C, …].
  Tensor forward(const NormInput& x) const;
  // x [B, C, H, W], conditioned: a condition [B, 2C] scales by 1 + its first half and shifts by its second
  // after normalisation (FiLM; or by double_norm's rule), one [B, C] is added before it.
  Tensor forward(const Biased& x, const Tensor& condition) const;
  // SiLU of the same, in one pass where there is a kernel (cm/kernels/group_norm.h).
  Tensor forward_silu(const NormInput& x) const;
  Tensor forward_silu(const Biased& x, const Tensor& condition) const;
  Tensor weight;
  Tensor bias;

 private:
  NormParameters parameters() const { return {options_.groups, options_.epsilon, weight, bias}; }
  Tensor normalized(const NormInput& x, Activation activation) const;
  Tensor doubly_normalized(const Biased& x, const Tensor& condition, Activation activation) const;
  Tensor conditioned(const Biased& x, const Tensor& condition, Activation activation) const;

  GroupNormOptions options_;
};
TORCH_MODULE(GroupNorm);

// Rows of `table` [count, width] by labels int64 [B] in [0, count) → [B, width]; zeros for kNullClass
// (cm/nn/network.h). Other labels are refused: c10::Error on the CPU, an assertion of the device on CUDA.
Tensor class_rows(const Tensor& table, const Tensor& labels);

// Labels int64 [B], as class_rows takes them, → [B, width]; N(0, 1) at the start.
class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(Initializer& initializer, int64_t count, int64_t width);
  Tensor forward(const Tensor& labels) const { return class_rows(weight, labels); }
  Tensor weight;
};
TORCH_MODULE(Embedding);

// The module of a dotted name below `root`, with plain modules registered where there are none.
torch::nn::Module& submodule_at(torch::nn::Module& root, const std::string& name);

// Registers `module` in `root` under a dotted name, with plain modules between, so that names equal the
// published checkpoints' ("in_layers.0", "in_layers.2": a Sequential's numbers, those without weights left
// out).
template <class Holder>
Holder register_at(torch::nn::Module& root, const std::string& name, Holder module) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return root.register_module(name, std::move(module));
  return submodule_at(root, name.substr(0, dot)).register_module(name.substr(dot + 1), std::move(module));
}

// Self-attention over all positions, softmax(qᵀk/√d) v for each head: qkv [B, 3C, H, W], channels ordered
// (q|k|v, head, channel), → [B, C, H, W], ordered (head, channel). `heads` divides C.
Tensor attention(const Tensor& qkv, int64_t heads);

// Sinusoidal features of a time [B]: [cos(t f), sin(t f)] with f_k = exp(−ln(10000) k/h), k = 0…h−1, h =
// width/2; in at least fp32. A last column of zeros makes up an odd width. `reaching_end`: with h − 1 for h
// in f_k, so that the last frequency is 1/10000 (diffusers' downscale_freq_shift of 1).
Tensor time_features(const Tensor& time, int64_t width, bool reaching_end = false);

// c_noise [B] → [B, width], width even: [sin(f c_noise), cos(f c_noise)], in at least fp32, with frequencies
// of either kind:
//   without a scale  f_k = 10000^(−k/(h − 1)), k = 0…h−1, h = width/2 (DDPM++)
//   with one         f = 2π `freqs`, a buffer of h numbers drawn from N(0, scale²) (NCSN++)
class NoiseFeaturesImpl : public torch::nn::Module {
 public:
  NoiseFeaturesImpl(Initializer& initializer, int64_t width, std::optional<double> fourier_scale);
  Tensor forward(const Tensor& c_noise) const;

 private:
  int64_t count_;  // h
  Tensor freqs_;   // undefined without a scale
};
TORCH_MODULE(NoiseFeatures);

// What a flow map's second time s adds to the first layer of an embedding, W φ(t − s) with the features φ
// that the embedding has of t: with that layer, one over the features of both, as in MeanFlow (arXiv
// 2505.13447). [B, features] → [B, out].
class SecondTimeImpl : public torch::nn::Module {
 public:
  // Without a gain uniform in ±1/√(2 features), otherwise by Glorot's rule of the joint layer.
  SecondTimeImpl(Initializer& initializer, int64_t features, int64_t out,
                 std::optional<double> xavier_gain = std::nullopt);
  Tensor forward(const Tensor& features) const { return torch::linear(features, weight); }
  Tensor weight;
};
TORCH_MODULE(SecondTime);

// By which Glorot's gain for the first time's part alone becomes that of the joint layer.
double joint_gain(int64_t features, int64_t out);

}  // namespace cm
