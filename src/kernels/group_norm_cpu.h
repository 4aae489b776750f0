// The passes of cm/kernels/group_norm.h over fp32 arrays in host memory. Results do not depend on the number
// of threads.
#pragma once

#include "group_norm_input.h"

namespace cm::group_norm_cpu {

using Layout = NormLayout;
using Input = GroupNormInput<float>;

// Writes y in x's layout, and what the backward pass needs: each group's mean and 1/√(var + ε), [batch,
// groups].
void forward(const Input& input, double epsilon, float* y, float* mean, float* rstd);

struct Saved {
  const float* mean;
  const float* rstd;
};

// Gradients for weight and bias [channels] and condition [batch, 2 channels].
struct ParameterGradients {
  float* weight;
  float* bias;
  float* condition;  // null where the input has none
};

// Writes dx, given dy, both in x's layout, and the gradients of the parameters.
void backward(const Input& input, const Saved& saved, const float* dy, float* dx,
              const ParameterGradients& gradients);

// What forward-mode differentiation passes through: ẋ in x's layout, and of the condition [batch, 2 channels]
// or null, where it has no tangent.
struct Tangents {
  const float* x;
  const float* condition;
};

// Writes ẏ in x's layout.
void tangent(const Input& input, double epsilon, const Tangents& tangents, float* y_dot);

}  // namespace cm::group_norm_cpu
