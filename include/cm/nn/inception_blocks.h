// The blocks of Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567, §6 and Figures 5 to 7) as TensorFlow's
// network of 2015-12-05 has them, for inference. They differ from torchvision's in their poolings: averages
// leave the padding out, and the last block takes maxima.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "cm/base/tensor.h"

namespace cm {

// Where frozen weights come from: the tensor of this name, which must have this shape. Names are
// torchvision's.
using WeightLookup = std::function<Tensor(const std::string& name, at::IntArrayRef shape)>;

// The source of names below `scope`: "Mixed_5b" asks `source` for "Mixed_5b.branch1x1.conv.weight".
WeightLookup scoped(const WeightLookup& source, const std::string& scope);

struct ConvolutionOptions {
  int64_t in;
  int64_t out;
  std::array<int64_t, 2> kernel = {1, 1};   // height, width
  std::array<int64_t, 2> padding = {0, 0};  // rows, columns
  int64_t stride = 1;
};

// relu(batch_norm(conv(x))) with the running statistics. They are constants, so that the normalisation is
// part of the convolution, folded in float64:
//   w' = w γ / √(v + ε),  b' = β − m γ / √(v + ε),  ε = 0.001
class NormedConvolution {
 public:
  // Reads "conv.weight" and "bn.weight" (γ), "bn.bias" (β), "bn.running_mean" (m), "bn.running_var" (v).
  NormedConvolution(const WeightLookup& source, const ConvolutionOptions& options);

  // [B, in, H, W] → [B, out, H', W'].
  Tensor operator()(const Tensor& x) const;
  // The one that gives the first `count` channels of this one's result.
  NormedConvolution first_channels(int64_t count) const;

 private:
  ConvolutionOptions options_;
  Tensor weight_;  // channels last: oneDNN and cuDNN then need no copies between layers
  Tensor bias_;
};

// [B, in, H, W] → [B, 224 + pool_channels, H, W].
class InceptionA {
 public:
  InceptionA(const WeightLookup& source, int64_t in, int64_t pool_channels);
  Tensor operator()(const Tensor& x) const;

 private:
  NormedConvolution branch1x1_;
  std::array<NormedConvolution, 2> branch5x5_;
  std::array<NormedConvolution, 3> branch3x3dbl_;
  NormedConvolution branch_pool_;
};

// [B, in, H, W] → [B, 480 + in, (H − 1)/2, (W − 1)/2].
class InceptionB {
 public:
  InceptionB(const WeightLookup& source, int64_t in);
  Tensor operator()(const Tensor& x) const;

 private:
  NormedConvolution branch3x3_;
  std::array<NormedConvolution, 3> branch3x3dbl_;
};

// [B, in, H, W] → [B, 768, H, W]. Convolutions of 7 × 7 as pairs of 7 × 1 and 1 × 7, of `inner` channels.
class InceptionC {
 public:
  InceptionC(const WeightLookup& source, int64_t in, int64_t inner);
  Tensor operator()(const Tensor& x) const;
  // What gives the first channels of the result.
  const NormedConvolution& branch1x1() const { return branch1x1_; }

 private:
  NormedConvolution branch1x1_;
  std::array<NormedConvolution, 3> branch7x7_;
  std::array<NormedConvolution, 5> branch7x7dbl_;
  NormedConvolution branch_pool_;
};

// [B, in, H, W] → [B, 512 + in, (H − 1)/2, (W − 1)/2].
class InceptionD {
 public:
  InceptionD(const WeightLookup& source, int64_t in);
  Tensor operator()(const Tensor& x) const;

 private:
  std::array<NormedConvolution, 2> branch3x3_;
  std::array<NormedConvolution, 4> branch7x7x3_;
};

// What the pooling branch of the last blocks takes over 3 × 3 pixels. Both occur: maxima in the very last
// block, against the paper, but the published scores were computed so.
enum class InceptionPooling { mean, max };

// [B, in, H, W] → [B, 2048, H, W].
class InceptionE {
 public:
  InceptionE(const WeightLookup& source, int64_t in, InceptionPooling pooling);
  Tensor operator()(const Tensor& x) const;

 private:
  InceptionPooling pooling_;
  NormedConvolution branch1x1_;
  std::array<NormedConvolution, 3> branch3x3_;     // 1 × 1, then 1 × 3 and 3 × 1 beside one another
  std::array<NormedConvolution, 4> branch3x3dbl_;  // 1 × 1, 3 × 3, then the same
  NormedConvolution branch_pool_;
};

}  // namespace cm
