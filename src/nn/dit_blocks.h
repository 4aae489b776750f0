// The layers of DiT's and SiT's transformer (cm/nn/dit.h), with the parameter names of the published weights.
#pragma once

#include <string>

#include "cm/nn/dit.h"
#include "cm/nn/layers.h"

namespace cm {

// [rows · columns, width], fixed, in at least fp32: [sin(p f), cos(p f)] of a token's column p, then of its
// row, with f_k = 10000^(−k/h), k = 0…h−1, h = width/4.
Tensor token_positions(int64_t rows, int64_t columns, int64_t width, const torch::TensorOptions& options);

// Linear layers whose weights are uniform by Glorot & Bengio, N(0, 0.02²), or 0, with biases of 0, at `name`.
Linear xavier_linear(torch::nn::Module& root, const std::string& name, Initializer& initializer, int64_t in,
                     int64_t out);
Linear normal_linear(torch::nn::Module& root, const std::string& name, Initializer& initializer, int64_t in,
                     int64_t out);
Linear zero_linear(torch::nn::Module& root, const std::string& name, int64_t in, int64_t out);

// Converts a layer's own parameters to `type` for good.
void hold_layer(torch::nn::Module& layer, torch::Dtype type);

// x [B, C, H, W] → [B, H/p · W/p, width]: a linear map of each patch of p × p pixels, the patches row by row.
class PatchEmbeddingImpl : public torch::nn::Module {
 public:
  PatchEmbeddingImpl(Initializer& initializer, int64_t channels, int64_t patch, int64_t width);
  Tensor forward(const Tensor& x) const;
  Tensor weight;  // [width, C, p, p]
  Tensor bias;
};
TORCH_MODULE(PatchEmbedding);

// Labels int64 [B] → [B, width]: their rows of a table, kNullClass's the last one. N(0, 0.02²) at the start.
class LabelTableImpl : public torch::nn::Module {
 public:
  LabelTableImpl(Initializer& initializer, int64_t classes, int64_t width);
  Tensor forward(const Tensor& labels) const;
  Tensor weight;  // [classes + 1, width]
};
TORCH_MODULE(LabelTable);

// A time [B] → [B, width]: two layers over its sinusoidal features, which are diffusers' where the options
// say so.
class TimeEmbedding {
 public:
  TimeEmbedding(torch::nn::Module& root, const std::string& name, const DitOptions& options,
                Initializer& initializer);
  Tensor forward(const Tensor& time) const;

 private:
  bool reaching_end_;
  Linear in_ = nullptr;
  Linear out_ = nullptr;
};

inline constexpr int64_t kDitTimeFeatures = 256;
inline constexpr double kDitTokenEpsilon = 1e-6;
inline constexpr double kDiffusersTokenEpsilon = 1e-5;

// Normalises each token x [B, T, width] to mean 0 and variance 1 (to whose variance `epsilon` is added),
// multiplies by 1 + scale and adds shift, both [B, 1, width].
Tensor modulated_norm(const Tensor& x, const Tensor& shift, const Tensor& scale,
                      double epsilon = kDitTokenEpsilon);

// x + gate · attention(norm(x)), and then the same of two layers with GELU between them. Shift, scale and
// gate of both are a linear map of the condition, which begins at 0 (adaLN-Zero).
class DitBlock {
 public:
  DitBlock(torch::nn::Module& root, const std::string& name, const DitOptions& options,
           Initializer& initializer);
  // x [B, T, width], condition [B, width] after SiLU → [B, T, width].
  Tensor forward(const Tensor& x, const Tensor& condition) const;
  // Keeps what meets tokens in the type.
  void hold(torch::Dtype type);

 private:
  int64_t heads_;
  bool checkpoints_;
  double second_epsilon_;
  Linear modulation_ = nullptr;
  Linear qkv_ = nullptr;
  Linear projection_ = nullptr;
  Linear mlp_in_ = nullptr;
  Linear mlp_out_ = nullptr;

  Tensor compute(const Tensor& x, const Tensor& condition) const;
  Tensor attended(const Tensor& x) const;
};

}  // namespace cm
