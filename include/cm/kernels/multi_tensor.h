// Passes over all tensors of a network at once: the norm of a list, Adam's updates, moving averages. On the
// CPU each is one pass over memory, whose result does not depend on the number of threads, for lists of fp32
// or fp64 tensors (one type a call) that are dense and laid out alike; whatever else there is takes
// LibTorch's multi-tensor operators.
#pragma once

#include <vector>

#include "cm/base/tensor.h"

namespace cm {

// The Euclidean norm of all numbers of `tensors` (at least one) as one number of their type on their device,
// without waiting for it. Summed in double on the CPU.
Tensor norm_of(const std::vector<Tensor>& tensors);

// Tensor number i of each list belongs to parameter number i.
struct AdamState {
  std::vector<Tensor> theta;
  std::vector<Tensor> gradient;
  std::vector<Tensor> first;   // moments, m
  std::vector<Tensor> second;  // v
};

// One update of Adam or one of its relatives:
//   g ← g + added_decay θ,  θ ← shrink θ,  m ← m + (1 − β₁)(g − m),  v ← β₂ v + (1 − β₂) g²,
//   θ ← θ − step · m / (√v / root + eps),  or  θ ← θ − step · m  without `adaptive`.
struct AdamUpdate {
  double beta1;
  double beta2;
  double step;
  double root = 1;
  double eps;
  double added_decay = 0;
  double shrink = 1;
  bool adaptive = true;
};

// Writes θ, m and v in place; the gradient stays.
void adam_update(const AdamState& state, const AdamUpdate& update);

struct MovingAverage {
  std::vector<Tensor> values;
  double rate;
};

// e ← rate · e + (1 − rate) · θ for each average of one list of parameters, in place; rate 0 copies.
void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters);

}  // namespace cm
