// Passes over all tensors of a network at once: the norm of a list, Adam's updates, moving averages. Each is
// one pass over memory for lists of tensors of one type that are dense and laid out alike, with a step's
// numbers on their device: fp32 or fp64 on the CPU; fp32 on a GPU, where the library was built with nvcc. The
// result does not depend on the number of threads or on the order of blocks. Whatever else there is takes
// LibTorch's multi-tensor operators, which wait for the numbers of an update (cm/kernels/paths.h counts it).
#pragma once

#include <vector>

#include "cm/base/tensor.h"
#include "cm/kernels/adam_rule.h"

namespace cm {

// The Euclidean norm of all numbers of `tensors` (at least one) as one number of their type on their device,
// without waiting for it. Our own passes sum in double.
Tensor norm_of(const std::vector<Tensor>& tensors);

// Tensor number i of each list belongs to parameter number i.
struct AdamState {
  std::vector<Tensor> theta;
  std::vector<Tensor> gradient;
  std::vector<Tensor> first;   // moments, m
  std::vector<Tensor> second;  // v
};

// `value` as a tensor of one element (0-dimensional) on the device.
Tensor number_on(const torch::Device& device, torch::Dtype type, double value);

// The numbers of one update, each a tensor of one element on the parameters' device, so that no pass waits
// for one that was computed there.
struct AdamNumbers {
  Tensor usable;   // bool; false: nothing is written
  Tensor updates;  // int64: t, this update counted
  Tensor lr;       // fp64
  Tensor factor;   // fp64, multiplies the gradients
};

// One update, of θ, m and v in place; the gradient stays:
//   g ← factor · gradient (+ weight_decay θ, or decoupled: θ ← (1 − lr weight_decay) θ),
//   m ← m + (1 − β₁)(g − m),  v ← β₂ v + (1 − β₂) g²,
//   Adam:   θ ← θ − lr/(1 − β₁ᵗ) · m/(√(v/(1 − β₂ᵗ)) + eps)
//   RAdam:  θ ← θ − lr/(1 − β₁ᵗ) · r_t √(1 − β₂ᵗ) · m/(√v + eps), in the first steps, while ρ_t ≤ 5 (Liu et
//           al., Algorithm 2 with the threshold of the common implementations):  θ ← θ − lr/(1 − β₁ᵗ) · m
void adam_update(const AdamState& state, const AdamRule& rule, const AdamNumbers& numbers);

struct MovingAverage {
  std::vector<Tensor> values;
  Tensor rate;  // fp64, one element on the parameters' device
};

// e ← rate · e + (1 − rate) · θ for each average of one list of parameters, in place; rate 0 copies. Nothing
// is written when `usable` (as in AdamNumbers) is false.
void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                     const Tensor& usable);

}  // namespace cm
