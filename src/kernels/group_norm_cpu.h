// The passes of cm/kernels/group_norm.h over fp32 arrays in host memory. Results do not depend on the number
// of threads.
#pragma once

#include <cstdint>
#include <vector>

namespace cm::group_norm_cpu {

enum class Layout {
  channels_first,  // [batch, channels, positions]
  channels_last,   // [batch, positions, channels]
};

struct Input {
  int64_t batch;
  int64_t channels;
  int64_t positions;  // at least 1
  int64_t groups;
  Layout layout;
  bool silu;
  const float* x;
  const float* weight;     // [channels]
  const float* bias;       // [channels]
  const float* condition;  // [batch, 2 channels] or null
};

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

}  // namespace cm::group_norm_cpu
