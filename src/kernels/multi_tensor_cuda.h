// The passes of cm/kernels/multi_tensor.h over fp32 arrays in a GPU's memory. Numbers of a step are read
// there by the kernels; nothing waits for the GPU. Results do not depend on the order in which blocks run.
// Errors are returned as CUDA's words for them, null where there is none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cm/kernels/adam_rule.h"
#include "cuda_stream.h"

namespace cm::multi_tensor_cuda {

// Lists that go together: array number i of each has counts[i] numbers.
struct Lists {
  std::vector<int64_t> counts;
  std::vector<std::vector<float*>> arrays;  // of each list
};

// Of the first list; the workspace has a double for each of norm_workspace (multi_tensor_table.h). Squares
// are summed in double: those of fp32's large numbers are none of its.
const char* norm(const Lists& lists, double* workspace, float* norm, cuda::Stream stream);

// One number each, in the GPU's memory.
struct AdamNumberPointers {
  const bool* usable;
  const int64_t* updates;
  const double* lr;
  const double* factor;
};

// What a first small kernel computes from these for all others.
struct AdamScalars {
  float factor;
  float added_decay;
  float shrink;
  float rest1;  // 1 − β₁
  float beta2;
  float rest2;  // 1 − β₂
  float inverse_root;
  float eps;
  float step;
  bool adaptive;
  bool usable;
};

// The lists are θ, gradient, m and v.
const char* adam(const Lists& lists, const AdamRule& rule, const AdamNumberPointers& numbers,
                 AdamScalars* workspace, cuda::Stream stream);

// The first list is θ, the others are averages, with a rate each.
const char* averages(const Lists& lists, const std::vector<const double*>& rates, const bool* usable,
                     cuda::Stream stream);

}  // namespace cm::multi_tensor_cuda
