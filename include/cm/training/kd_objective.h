// Knowledge distillation (KD; Luhman & Luhman 2021, arXiv 2101.02388): one step of the student is drawn to
// what the teacher's deterministic walk made of the same noise. The walks are taken before, once, and stored
// (cm/data/pairs.h); no teacher is there in training. f learns at σ_max alone.
#pragma once

#include "cm/diffusion/distance.h"
#include "cm/training/method.h"

namespace cm {

struct KdOptions {
  static constexpr MethodName name{"kd", "cm-train-cd", "knowledge distillation from stored pairs (KD)"};
  Distance distance = Distance::l2;
};

template <class Visitor>
void fields(Visitor& visit, KdOptions& o) {
  visit("distance", o.distance, "d between the student's image and the pair's");
}

Method method_of(const KdOptions& options, int64_t total_steps);
Objective objective_of(const KdOptions& options, const Binding& binding);

}  // namespace cm
