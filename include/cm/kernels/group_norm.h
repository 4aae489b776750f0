// Group normalisation with what follows it in every block of the networks, as one kernel forward and one
// backward:
//
//   y = act(norm(x) · (1 + scale) + shift),   norm(x) = (x − mean) / √(var + ε) · weight + bias
//
// x being an image, or two side by side (cm/kernels/joined.h), and the sum of that and, where it has one, its
// bias (cm/kernels/biased.h); mean and var over the channels of a group and all positions of an image. x may
// be of half precision with parameters and a condition in fp32: then only x and y are, and their gradients.
// The kernels take both layouts, and the result has the input's: fp32 on the CPU, and on GPUs, where the
// library was built with nvcc, fp32 and half precision. In other types and under autocast the same is
// composed of LibTorch's operators; a gradient that is itself to be differentiated is that composition's. Of
// a dual x or condition (cm/base/dual.h) the tangent has a kernel of its own for fp32 on the CPU. Results do
// not change from run to run.
#pragma once

#include "cm/kernels/biased.h"
#include "cm/kernels/joined.h"

namespace cm {

enum class Activation { none, silu };

// act(h), by LibTorch's operators; h may be dual.
Tensor activated(const Tensor& h, Activation activation);

// What is normalised, with all that the kernels do to it on the way.
struct NormInput {
  NormInput(Joined any_image, Tensor any_bias = {})
      : image(std::move(any_image)), bias(std::move(any_bias)) {}
  NormInput(Tensor any_image) : image(std::move(any_image)) {}                                // NOLINT
  NormInput(Biased biased) : image(std::move(biased.image)), bias(std::move(biased.bias)) {}  // NOLINT

  Joined image;  // [B, C, …] in all
  Tensor bias;   // in fp32 whatever the image is, [C] or [B, C]; undefined: none
};

struct NormParameters {
  int64_t groups;  // a divisor of the channels
  double epsilon;
  Tensor weight;  // [C]
  Tensor bias;    // [C]
};

// → [B, C, …]; condition [B, 2C] holds scale, then shift; undefined: neither. Throws c10::Error when a shape
// does not fit.
Tensor group_norm(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                  Activation activation);

// The tangent of the same, of which any may be dual but the parameters.
Tensor group_norm_tangent(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                          Activation activation);

// The first by LibTorch's operators, whatever the device.
Tensor plain_group_norm(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                        Activation activation);

}  // namespace cm
