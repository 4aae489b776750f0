// The layers of EDM2 (Karras et al. 2024, arXiv 2312.02696, config G): what has unit magnitude (a root mean
// square of 1) keeps it, by the weights' scale alone, so that no layer needs biases or a normalisation over
// groups. Weights are normalised where they are used, and in training themselves before every step.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "cm/nn/layers.h"

namespace cm {

// n(x) = x/(ε + ‖x‖/√N), ε = 1e-4, of x [B, C, …] at each place and in each of so many equal parts of the
// channels, of N each; the norm in at least fp32.
Tensor unit_magnitude(const Tensor& x, int64_t parts = 1);

// The magnitude of SiLU of a unit normal variable (Eq. 81).
inline constexpr double kMpSiluGain = 0.596;

// a · first + b · second is the sum of two uncorrelated branches at which unit magnitude is kept (Eq. 88), of
// the second one's share t.
struct MpSum {
  double first;
  double second;
};
MpSum mp_sum(double t);

// Channels of a and b, b's share of the magnitude being t (Eq. 103).
Tensor mp_cat(const Tensor& a, const Tensor& b, double t);

// Weights of unit magnitude, whose layer is w = n(W) · gain/√fan_in (Eq. 47), n over what meets one output.
class MpWeight : public torch::nn::Module {
 public:
  Tensor weight;  // W [out, …], N(0, 1) at the start

 protected:
  // The layer's own gain takes factors that stand before it or behind it in the network's equations.
  MpWeight(Initializer& initializer, at::IntArrayRef shape, double gain);
  // w, fp32; `learned` is a factor of the gain, [], or undefined.
  Tensor scaled(const Tensor& learned) const;

 private:
  double gain_;
};

// x [B, in] → [B, out].
class MpLinearImpl : public MpWeight {
 public:
  MpLinearImpl(Initializer& initializer, int64_t in, int64_t out, double gain = 1)
      : MpWeight(initializer, {out, in}, gain) {}
  Tensor forward(const Tensor& x, const Tensor& learned_gain = {}) const;
  // Of one-hot vectors times √in, for labels as class_rows takes them: [B] → [B, out].
  Tensor of_classes(const Tensor& labels) const;
};
TORCH_MODULE(MpLinear);

struct MpConv2dOptions {
  int64_t in;
  int64_t out;
  int64_t kernel = 3;  // or 1
  double gain = 1;
};

// x [B, in, H, W] → [B, out, H, W], "same" padding; the weights are cast to x's type once they are scaled.
class MpConv2dImpl : public MpWeight {
 public:
  MpConv2dImpl(Initializer& initializer, const MpConv2dOptions& options)
      : MpWeight(initializer, {options.out, options.in, options.kernel, options.kernel}, options.gain) {}
  Tensor forward(const Tensor& x, const Tensor& learned_gain = {}) const;
  // Puts the scaled weights in `type` in the weights' place, where these no longer change and the gain is not
  // learned.
  void hold(torch::Dtype type);

 private:
  bool is_scaled_ = false;
};
TORCH_MODULE(MpConv2d);

// c [B] → √2 cos(f c + φ) [B, width], in at least fp32; `freqs` f ~ 2π N(0, 1) and `phases` φ ~ U(−π, π) are
// buffers (Eq. 75).
class MpFourierImpl : public torch::nn::Module {
 public:
  MpFourierImpl(Initializer& initializer, int64_t width);
  Tensor forward(const Tensor& c) const;

 private:
  Tensor freqs_;
  Tensor phases_;
};
TORCH_MODULE(MpFourier);

// W of all layers of this file below a module.
std::vector<Tensor> magnitude_preserving_weights(const torch::nn::Module& module);

// Forced weight normalisation (Eq. 66): W ← n(W), in place. Outputs stay the same; without it the weights
// grow, and the learning rate shrinks beside them.
void normalize_weights(const std::vector<Tensor>& weights);

}  // namespace cm
