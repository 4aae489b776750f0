// The random intervals of a training step: functions of the run's seed, the step and each sample's index.
#pragma once

#include "cm/diffusion/path.h"
#include "cm/training/flow_map_options.h"
#include "draws.h"

namespace cm {

// Times of a path, s ≤ t; float64 [B] each, on the CPU.
struct Interval {
  Tensor t;
  Tensor s;
};

Interval draw_interval(const IntervalOptions& options, const Path& path, uint64_t seed, int64_t step,
                       const std::vector<int64_t>& samples);

// What a loss of flow maps draws: where each sample is on its path, with the data's own velocity, and where
// it goes.
struct FlowMapDraws {
  PathPoint at;
  Tensor s;
  std::vector<Tensor> extra = {};  // further numbers of each sample, [B] each
  Tensor dropout_keys = {};
};

using FlowMapLosses = std::function<Tensor(const TrainingBatch& batch, const FlowMapDraws& draws)>;

// The objective that draws intervals for its losses, and what `extra` says besides, on the host.
Objective flow_map_objective(
    const IntervalOptions& interval, const Path& path, uint64_t seed, FlowMapLosses losses,
    std::function<std::vector<Tensor>(const TrainingBatch& batch)> extra = [](const TrainingBatch&) {
      return std::vector<Tensor>();
    });

}  // namespace cm
