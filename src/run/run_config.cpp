#include "cm/run/run_config.h"

#include <algorithm>

#include "cm/base/text.h"
#include "cm/run/method.h"
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

void complain_of_lpips(const RunConfig& config, const Method& method, const Complain& complain) {
  const bool used = method.distance && method.distance->kind == Distance::lpips;
  const std::string key = concat(to_string(config.objective), ".distance");
  if (used && !config.lpips.weights) {
    complain(key, concat("lpips needs lpips.weights, the file that ", kLpipsCommand, " makes"));
  }
  if (!used && config.lpips.weights) {
    complain("lpips.weights",
             method.distance
                 ? concat("is not used by ", key, " ", to_string(method.distance->kind),
                          "; remove it, or set the distance to lpips")
                 : concat("is not used by objective ", to_string(config.objective), "; remove it"));
  }
}

void complain_of_teacher(const RunConfig& config, const Method& method, const Complain& complain) {
  if (method.needs_teacher && !config.teacher.checkpoint) {
    complain("teacher.checkpoint", concat("is needed by objective ", to_string(config.objective),
                                          ": the diffusion run or weight file to distill"));
  }
  if (!method.needs_teacher && config.teacher.checkpoint) {
    complain("teacher.checkpoint", concat("is not used by objective ", to_string(config.objective),
                                          "; to start from its weights, name it in init.checkpoint"));
  }
  if (!method.needs_teacher && config.teacher.guidance != 1) {
    complain("teacher.guidance", concat("is not used by objective ", to_string(config.objective),
                                        ", which has no teacher; cm-sample --guidance guides its samples"));
  }
}

void complain_of_init(const RunConfig& config, const Method& method, const Complain& complain) {
  if (method.needs_init && !config.init.checkpoint) {
    complain("init.checkpoint", concat("is needed by objective ", to_string(config.objective),
                                       ": the diffusion run or weight file that it tunes; from random "
                                       "weights, train by ict"));
  }
}

void complain_of_parameterization(const RunConfig& config, const Method& method, const Complain& complain) {
  std::vector<std::string> possible;
  for (const Parameterization kind : method.parameterizations) possible.push_back(to_string(kind));
  const std::string named = to_string(parameterization_of(config));
  if (std::ranges::find(possible, named) == possible.end()) {
    complain("parameterization", concat("must be ", join(possible, " or "), " for objective ",
                                        to_string(config.objective), ", got '", named, "'"));
  }
}

}  // namespace

Parameterization parameterization_of(const RunConfig& config) {
  return config.parameterization.value_or(method_of(config).parameterizations.front());
}

void validate(const RunConfig& config, const Complain& complain) {
  complain_of_section(config, ObjectiveKind::edm, config.edm.has_value(), complain);
  complain_of_section(config, ObjectiveKind::cd, config.cd.has_value(), complain);
  complain_of_section(config, ObjectiveKind::ct, config.ct.has_value(), complain);
  complain_of_section(config, ObjectiveKind::ict, config.ict.has_value(), complain);
  complain_of_section(config, ObjectiveKind::ect, config.ect.has_value(), complain);
  complain_of_section(config, ObjectiveKind::continuous_cd, config.continuous_cd.has_value(), complain);
  complain_of_section(config, ObjectiveKind::continuous_ct, config.continuous_ct.has_value(), complain);
  if (config.continuous_ct && !config.continuous_ct->stop_gradient) {
    complain("continuous_ct.stop_gradient",
             "must be true: without it the gradient of consistency training is biased; continuous_cd can do "
             "without");
  }
  complain_of_section(config, ObjectiveKind::pd, config.pd.has_value(), complain);
  complain_of_section(config, ObjectiveKind::sct, config.sct.has_value(), complain);
  complain_of_section(config, ObjectiveKind::scd, config.scd.has_value(), complain);
  const Method method = method_of(config);
  complain_of_teacher(config, method, complain);
  complain_of_init(config, method, complain);
  complain_of_lpips(config, method, complain);
  if (!config.model && !config.teacher.checkpoint && !config.init.checkpoint) {
    complain("model", "is needed where neither teacher.checkpoint nor init.checkpoint names a network");
  }
  complain_of_parameterization(config, method, complain);
}

}  // namespace cm
