// The velocity that MeanFlow's target follows.
#pragma once

#include "cm/training/mean_flow_objective.h"

namespace cm {

// `at` with TargetGuidance's velocity, of the student itself without dropout or gradient; labels int64 [B].
// Where nothing guides, `at`.
PathPoint guided_point(const TargetGuidance& guidance, const Model& student, const PathPoint& at,
                       const Tensor& labels);

}  // namespace cm
