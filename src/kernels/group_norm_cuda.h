// The passes of cm/kernels/group_norm.h on a GPU, over arrays in its memory; x, y, dy and dx are of one type,
// all else is fp32. Results do not depend on the order in which blocks run. Errors are returned as CUDA's
// words for them, null where there is none; nothing waits for the GPU.
#pragma once

#include "cuda_number.h"
#include "cuda_stream.h"
#include "group_norm_input.h"
#include "group_norm_plan.h"

namespace cm::group_norm_cuda {

using cuda::Number;

using Input = GroupNormInput<void>;

struct ForwardResult {
  void* y;
  float* mean;       // of each group, [batch, groups]
  float* rstd;       // 1/√(var + ε)
  float* deviation;  // Σ (x + added − mean) of each channel, [batch, channels], or null
};

const char* forward(const Input& input, Number type, const Plan& plan, double epsilon,
                    const ForwardResult& result, float* workspace, cuda::Stream stream);

// What the backward pass is given, besides the input.
struct Given {
  const float* mean;
  const float* rstd;
  const float* deviation;  // null where nothing is added
  const void* dy;
};

struct Gradients {
  JoinedArrays<void> x;  // in as many arrays as the input
  float* weight;         // [channels]
  float* bias;           // [channels]
  float* condition;      // [batch, 2 channels]; null where the input has none
  float* added;          // of each image, [batch, channels]; likewise
};

const char* backward(const Input& input, Number type, const Plan& plan, const Given& given,
                     const Gradients& gradients, float* workspace, cuda::Stream stream);

}  // namespace cm::group_norm_cuda
