#include "cm/config/run_config.h"

#include "cm/base/text.h"
#include "cm/training/lpips_file.h"

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

bool uses_lpips(const RunConfig& config) {
  const auto distance = distance_of(config);
  return distance && distance->kind == Distance::lpips;
}

void complain_of_lpips(const RunConfig& config, const Complain& complain) {
  const std::string key = concat(to_string(config.objective), ".distance");
  if (uses_lpips(config) && !config.lpips.weights) {
    complain(key, concat("lpips needs lpips.weights, the file that ", kLpipsCommand, " makes"));
  }
  if (!uses_lpips(config) && config.lpips.weights) {
    const auto distance = distance_of(config);
    complain("lpips.weights",
             distance ? concat("is not used by ", key, " ", to_string(distance->kind),
                               "; remove it, or set the distance to lpips")
                      : concat("is not used by objective ", to_string(config.objective), "; remove it"));
  }
}

}  // namespace

std::optional<DistanceChoice> distance_of(const RunConfig& config) {
  switch (config.objective) {
    case ObjectiveKind::edm:
      return std::nullopt;
    case ObjectiveKind::cd:
      return DistanceChoice{.kind = config.cd.value_or(CdOptions()).distance};
    case ObjectiveKind::ct:
      return DistanceChoice{.kind = config.ct.value_or(CtOptions()).distance};
    case ObjectiveKind::ict: {
      const IctOptions ict = config.ict.value_or(IctOptions());
      return DistanceChoice{.kind = ict.distance, .huber_c = ict.huber_c};
    }
  }
  return std::nullopt;
}

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
  complain_of_lpips(config, complain);
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
