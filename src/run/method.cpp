#include "cm/run/method.h"

namespace cm {
namespace {

Method diffusion_model() {
  return {.parameterizations = {Parameterization::edm, Parameterization::trig_diffusion},
          .distance = {},
          .last_levels = {}};
}

Method consistency_model(const DistanceChoice& distance, int64_t last_levels) {
  return {.parameterizations = {Parameterization::skip, Parameterization::piecewise},
          .distance = distance,
          .last_levels = last_levels};
}

// Its loss needs ∂f/∂σ everywhere, which the piecewise f does not have at ε (CM Appendix C).
Method continuous_model(const std::optional<ContinuousOptions>& options) {
  return {.parameterizations = {Parameterization::skip},
          .distance = DistanceChoice{.kind = options.value_or(ContinuousOptions()).distance},
          .last_levels = {}};
}

// Skip: its scalings at sampling, with ε at sigma.min; in training those of ε = 0.
Method tuned_consistency_model() {
  return {
      .needs_init = true, .parameterizations = {Parameterization::skip}, .distance = {}, .last_levels = {}};
}

// The continuous-time losses have no distance and no grid.
Method trig_consistency_model(bool needs_teacher) {
  return {.needs_teacher = needs_teacher,
          .parameterizations = {Parameterization::trig},
          .distance = {},
          .last_levels = {}};
}

}  // namespace

Method method_of(const RunConfig& config) {
  const int64_t last = config.train.steps - 1;
  switch (config.objective) {
    case ObjectiveKind::edm:
      return diffusion_model();
    case ObjectiveKind::cd: {
      const CdOptions cd = config.cd.value_or(CdOptions());
      Method method = consistency_model({.kind = cd.distance}, cd.n);
      method.needs_teacher = true;
      method.has_target = true;
      return method;
    }
    case ObjectiveKind::ct: {
      const CtOptions ct = config.ct.value_or(CtOptions());
      Method method =
          consistency_model({.kind = ct.distance}, noise_levels(ct.levels, last, config.train.steps));
      method.has_target = true;
      return method;
    }
    case ObjectiveKind::ict: {
      const IctOptions ict = config.ict.value_or(IctOptions());
      return consistency_model({.kind = ict.distance, .huber_c = ict.huber_c},
                               noise_levels(ict.levels, last, config.train.steps));
    }
    case ObjectiveKind::ect:
      return tuned_consistency_model();
    case ObjectiveKind::continuous_cd: {
      Method method = continuous_model(config.continuous_cd);
      method.needs_teacher = true;
      return method;
    }
    case ObjectiveKind::continuous_ct:
      return continuous_model(config.continuous_ct);
    case ObjectiveKind::pd: {
      Method method = diffusion_model();
      method.parameterizations = {Parameterization::edm};
      method.needs_teacher = true;
      method.distance = DistanceChoice{.kind = config.pd.value_or(PdOptions()).distance};
      return method;
    }
    case ObjectiveKind::sct:
      return trig_consistency_model(/*needs_teacher=*/false);
    case ObjectiveKind::scd:
      return trig_consistency_model(/*needs_teacher=*/true);
  }
  TORCH_INTERNAL_ASSERT(false, "not an objective");
}

}  // namespace cm
