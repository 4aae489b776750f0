// EDM's denoising score matching (EDM §5, Table 1).
#pragma once

#include "cm/diffusion/weighting.h"
#include "cm/training/method.h"

namespace cm {

struct EdmOptions {
  static constexpr MethodName name{"edm", "cm-train-edm", "denoising score matching (EDM)"};
  double p_mean = -1.2;
  double p_std = 1.2;
  Weighting weighting = Weighting::karras;
};

template <class Visitor>
void fields(Visitor& visit, EdmOptions& o) {
  visit("p_mean", o.p_mean, "mean of ln σ in training");
  visit("p_std", o.p_std, "standard deviation of ln σ in training", above(0));
  visit("weighting", o.weighting, "λ(σ)");
}

Method method_of(const EdmOptions& options, int64_t total_steps);
Objective objective_of(const EdmOptions& options, const Binding& binding);

}  // namespace cm
