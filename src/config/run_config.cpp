#include "cm/config/run_config.h"

#include "cm/base/text.h"

namespace cm {
namespace {

void complain_of_section(const RunConfig& config, ObjectiveKind kind, bool present,
                         const Complain& complain) {
  if (present && config.objective != kind) {
    complain(to_string(kind),
             concat("belongs to objective ", to_string(kind), ", but objective is ",
                    to_string(config.objective), "; remove the section or change objective"));
  }
}

}  // namespace

Parameterization parameterization_of(const RunConfig& config) {
  const bool edm = config.objective == ObjectiveKind::edm;
  return config.parameterization.value_or(edm ? Parameterization::edm : Parameterization::skip);
}

void validate(const RunConfig& config, const Complain& complain) {
  complain_of_section(config, ObjectiveKind::edm, config.edm.has_value(), complain);
  complain_of_section(config, ObjectiveKind::cd, config.cd.has_value(), complain);
  complain_of_section(config, ObjectiveKind::ct, config.ct.has_value(), complain);
  complain_of_section(config, ObjectiveKind::ict, config.ict.has_value(), complain);
  const bool distills = config.objective == ObjectiveKind::cd;
  if (distills && !config.teacher.checkpoint) {
    complain("teacher.checkpoint", "is needed by objective cd: the diffusion run or weight file to distill");
  }
  if (!distills && config.teacher.checkpoint) {
    complain("teacher.checkpoint", concat("is not used by objective ", to_string(config.objective),
                                          "; to start from its weights, name it in init.checkpoint"));
  }
  if (!config.model && !config.teacher.checkpoint && !config.init.checkpoint) {
    complain("model", "is needed where neither teacher.checkpoint nor init.checkpoint names a network");
  }
  const bool edm = config.objective == ObjectiveKind::edm;
  if ((parameterization_of(config) == Parameterization::edm) != edm) {
    complain("parameterization",
             edm ? "must be edm for objective edm"
                 : concat("must be skip or piecewise for objective ", to_string(config.objective)));
  }
}

}  // namespace cm
