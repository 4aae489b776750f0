// The passes of cm/kernels/group_norm.h over fp32 arrays in host memory, all images in one layout. Results do
// not depend on the number of threads.
#pragma once

#include "group_norm_input.h"

namespace cm::group_norm_cpu {

using Layout = NormLayout;
using Input = GroupNormInput<float>;

// What the backward pass needs: each group's mean and 1/√(var + ε), [batch, groups], and each channel's Σ (x
// + added − mean), [batch, channels], or null where nothing is added.
template <class Float>
struct Statistics {
  Float* mean;
  Float* rstd;
  Float* deviation;
};

// Writes y, and the statistics.
void forward(const Input& input, double epsilon, float* y, const Statistics<float>& statistics);

using Saved = Statistics<const float>;

// Gradients for weight and bias [channels], condition [batch, 2 channels] and what is added to each image
// [batch, channels].
struct ParameterGradients {
  float* weight;
  float* bias;
  float* condition;  // null where the input has none
  float* added;      // likewise
};

// Writes dx, in as many arrays as x, given dy, and the gradients of the parameters.
void backward(const Input& input, const Saved& saved, const float* dy, const JoinedArrays<float>& dx,
              const ParameterGradients& gradients);

// What forward-mode differentiation passes through: ẋ, and of the condition [batch, 2 channels]
// and of what is added to each image [batch, channels], or null where they have no tangent.
struct Tangents {
  JoinedArrays<const float> x;
  const float* condition;
  const float* added;
};

// Writes ẏ.
void tangent(const Input& input, double epsilon, const Tangents& tangents, float* y_dot);

}  // namespace cm::group_norm_cpu
