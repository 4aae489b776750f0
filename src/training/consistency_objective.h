// What CD, CT and iCT share: the consistency loss at a pair of neighbouring levels.
#pragma once

#include "cm/diffusion/weighting.h"
#include "cm/training/method.h"
#include "level_pairs.h"

namespace cm {

// The parts in which they differ.
struct ConsistencyParts {
  std::function<HostPairs(int64_t step, const std::vector<int64_t>& samples)> draw_pairs;
  std::function<Tensor(const SigmaPair& pair)> weight;
  std::function<PreviousPoint(const Tensor& labels)> previous;
};

// `target` is the student itself where the method has no network for it.
Objective consistency_objective(const Binding& binding, const Model& target, const ConsistencyParts& parts,
                                std::function<CurriculumPoint(int64_t)> curriculum);

// What a run must know of them, by their distance and the grid's last N.
Method consistency_method(const DistanceChoice& distance, int64_t last_levels);

// λ at the larger level, as in the release (the paper writes λ(t_n); the same for uniform).
std::function<Tensor(const SigmaPair& pair)> weight_at_larger_level(Weighting weighting,
                                                                    const Model& student);

}  // namespace cm
