// EDM's denoising score matching (EDM §5, Table 1), with EDM2's learned uncertainty where it is asked for
// (Karras et al. 2024, arXiv 2312.02696, Eq. 21).
#pragma once

#include "cm/diffusion/weighting.h"
#include "cm/training/level_distribution.h"
#include "cm/training/method.h"

namespace cm {

struct EdmOptions {
  static constexpr MethodName name{"edm", "cm-train-edm", "denoising score matching (EDM)"};
  LevelDistribution levels = LevelDistribution::log_normal;
  double p_mean = -1.2;
  double p_std = 1.2;
  Weighting weighting = Weighting::karras;
  bool uncertainty = false;
};

template <class Visitor>
void fields(Visitor& visit, EdmOptions& o) {
  visit("levels", o.levels,
        "how σ is drawn: ln σ normal, or σ/(1 + σ) uniform, as times of the linear path are");
  visit("p_mean", o.p_mean, "mean of ln σ in training, for log_normal");
  visit("p_std", o.p_std, "its standard deviation", above(0));
  visit("weighting", o.weighting, "λ(σ)");
  visit("uncertainty", o.uncertainty,
        "learn u(σ), the logarithm of the loss at σ, along with the network: the loss is e^−u λ ‖D − x‖² + u "
        "(EDM2), so that every noise level weighs the same");
}

Method method_of(const EdmOptions& options, int64_t total_steps);
Objective objective_of(const EdmOptions& options, const Binding& binding);

}  // namespace cm
