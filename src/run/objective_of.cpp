#include "cm/run/objective_of.h"

#include "cm/run/method.h"

namespace cm {

Objective objective_of(const RunConfig& config, const ObjectiveModels& models,
                       std::shared_ptr<const Lpips> lpips) {
  const auto seed = static_cast<uint64_t>(config.train.seed);
  const int64_t steps = config.train.steps;
  const double guidance = config.teacher.guidance;
  const Model& student = models.student;
  const Method method = method_of(config);
  TORCH_CHECK(!method.has_target || models.target, "the objective needs a target");
  TORCH_CHECK(!method.needs_teacher || models.teacher, "the objective needs a teacher");
  const auto distance = [&] { return make_distance(*method.distance, std::move(lpips)); };
  switch (config.objective) {
    case ObjectiveKind::edm:
      return edm_objective(config.edm.value_or(EdmOptions()), student, seed);
    case ObjectiveKind::cd:
      return cd_objective(config.cd.value_or(CdOptions()), distance(), student, *models.target,
                          *models.teacher, seed, guidance);
    case ObjectiveKind::ct:
      return ct_objective(config.ct.value_or(CtOptions()), distance(), student, *models.target, steps, seed);
    case ObjectiveKind::ict:
      return ict_objective(config.ict.value_or(IctOptions()), distance(), student, steps, seed);
    case ObjectiveKind::ect:
      return ect_objective(config.ect.value_or(EctOptions()), student, seed);
    case ObjectiveKind::continuous_cd:
      return continuous_cd_objective(config.continuous_cd.value_or(ContinuousOptions()), distance(), student,
                                     *models.teacher, seed, guidance);
    case ObjectiveKind::continuous_ct:
      return continuous_ct_objective(config.continuous_ct.value_or(ContinuousOptions()), distance(), student,
                                     seed);
    case ObjectiveKind::pd:
      return pd_objective(config.pd.value_or(PdOptions()), distance(), student, *models.teacher, steps, seed,
                          guidance);
    case ObjectiveKind::sct:
      return sct_objective(config.sct.value_or(ScmOptions()), student, seed);
    case ObjectiveKind::scd:
      return scd_objective(config.scd.value_or(ScmOptions()), student, *models.teacher, seed, guidance);
  }
  TORCH_INTERNAL_ASSERT(false, "not an objective");
}

}  // namespace cm
