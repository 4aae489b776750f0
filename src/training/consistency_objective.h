// What CD, CT and iCT share: the consistency loss at a pair of neighbouring levels.
#pragma once

#include "cm/diffusion/weighting.h"
#include "cm/training/level_pairs.h"
#include "cm/training/losses.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"

namespace cm {

// The parts in which they differ.
struct ConsistencyParts {
  std::function<HostPairs(int64_t step, const std::vector<int64_t>& samples)> draw_pairs;
  std::function<Tensor(const SigmaPair& pair)> weight;
  std::function<PreviousPoint(const Tensor& labels)> previous;
  DistanceFunction distance;
};

Objective consistency_objective(const Model& student, const Model& target, uint64_t seed,
                                const ConsistencyParts& parts,
                                std::function<CurriculumPoint(int64_t)> curriculum);

// λ at the larger level, as in the release (the paper writes λ(t_n); the same for uniform).
std::function<Tensor(const SigmaPair& pair)> weight_at_larger_level(Weighting weighting,
                                                                    const Model& student);

}  // namespace cm
