// The pairs (t, r) of ECT and the loss of one: what ECT and TCM share.
#pragma once

#include "cm/training/ect_objective.h"
#include "cm/training/losses.h"

namespace cm {

// r(t) = max(0, t (1 − g (1 + k sigmoid(−b t)))), g = max(q^{−(stage + 1)}, 1 − ratio_limit),
// stage = first_stage + ⌊step/steps_per_stage⌋, of t float64 [B].
Tensor ect_previous_level(const EctPairOptions& options, const Tensor& t, int64_t step);

// The weight of the pairs, of t's shape.
Tensor ect_weight(const EctPairOptions& options, const SigmaPair& pair, double sigma_data);

// √(‖·‖² + c²) − c of the difference.
DistanceFunction ect_distance(const EctPairOptions& options);

}  // namespace cm
