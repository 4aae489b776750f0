#include "cm/run/run_config.h"

#include <algorithm>
#include <map>

#include "cm/base/text.h"
#include "cm/data/pairs.h"
#include "cm/training/lpips_file.h"

namespace cm {
namespace {

void complain_of_sections(const RunConfig& config, const Complain& complain) {
  for_each_section(config.sections, [&]<class Options>(const std::optional<Options>& section) {
    if (!section || config.objective == kObjective<Options>) return;
    const std::string name(Options::name.objective);
    complain(name, concat("belongs to objective ", name, ", but objective is ", to_string(config.objective),
                          "; remove the section or change objective"));
  });
}

// visitor(options) for the options of the config's objective.
template <class Visitor>
void with_options(const RunConfig& config, const Visitor& visitor) {
  with_section(config.sections, config.objective, [&]<class Options>(const std::optional<Options>& section) {
    visitor(section.value_or(Options()));
  });
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
  if (!method.needs_teacher && config.teacher.guidance.weight != 1) {
    complain("teacher.guidance", concat("is not used by objective ", to_string(config.objective),
                                        ", which has no teacher; cm-sample --guidance guides ",
                                        method.takes_pairs ? "what it learns from" : "its samples"));
  }
  if (config.teacher.guidance.weight == 1 &&
      (config.teacher.guide || !config.teacher.guidance.everywhere())) {
    complain(config.teacher.guide ? "teacher.guide" : "teacher.guidance_sigma_max",
             "has no effect without teacher.guidance; set that to a weight other than 1, or remove this");
  }
}

// Their names.
std::string methods_that(bool (*fits)(const Method&)) {
  std::vector<std::string> names;
  for (const auto& [kind, name] : EnumNames<ObjectiveKind>::names) {
    if (fits(method_by_default(kind))) names.emplace_back(name);
  }
  return join(names);
}

void complain_of_pairs(const RunConfig& config, const Method& method, const Complain& complain) {
  const std::string objective = to_string(config.objective);
  const bool pairs = config.data.kind == kPairsKind;
  if (method.takes_pairs && !pairs) {
    complain("data.kind", concat("must be pairs for objective ", objective, ", got '",
                                 to_string(config.data.kind), "'; cm-sample --pairs makes them"));
  }
  if (!method.takes_pairs && pairs) {
    complain(
        "data.kind",
        concat("pairs are for objective ", methods_that([](const Method& one) { return one.takes_pairs; }),
               ", but objective is ", objective, "; name the images that it trains on, or change objective"));
  }
  if (method.takes_pairs && config.train.label_dropout > 0) {
    complain("train.label_dropout", "must be 0 for pairs, which say nothing of the null class");
  }
}

void complain_of_init(const RunConfig& config, const Method& method, const Complain& complain) {
  if (method.needs_init && !config.init.checkpoint) {
    complain("init.checkpoint",
             concat("is needed by objective ", to_string(config.objective), ": the ",
                    method.keeps_start ? "consistency run or weight file of its first stage, trained by ect"
                                       : "diffusion run or weight file that it tunes; from random weights, "
                                         "train by ict"));
  }
}

void complain_of_transition(const RunConfig& config, const Method& method, const Complain& complain) {
  if (!method.transition || *method.transition < config.sigma.max) return;
  complain(concat(to_string(config.objective), ".transition"),
           concat("must be below sigma.max, ", config.sigma.max, ", got ", *method.transition));
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

void complain_of_times(const RunConfig& config, const Complain& complain) {
  const Parameterization kind = parameterization_of(config);
  if (!config.model || !common_options(*config.model).second_time || is_flow_map(kind)) return;
  complain("model.second_time", concat("is true, but objective ", to_string(config.objective), " (",
                                       to_string(kind), ") trains a network of one time; remove the key"));
}

}  // namespace

std::string default_parameterizations() {
  std::map<std::string, std::vector<std::string>> methods;
  for (const auto& [kind, name] : EnumNames<ObjectiveKind>::names) {
    methods[to_string(method_by_default(kind).parameterizations.front())].emplace_back(name);
  }
  std::vector<std::string> phrases;
  for (const auto& [parameterization, names] : methods) {
    phrases.push_back(concat(parameterization, " for ", join(names)));
  }
  return join(phrases, "; ");
}

std::string methods_with_teacher() {
  return methods_that([](const Method& method) { return method.needs_teacher; });
}

Method method_of(const RunConfig& config) {
  Method method;
  with_options(config, [&](const auto& options) { method = method_of(options, config.train.steps); });
  return method;
}

Objective objective_of(const RunConfig& config, Binding models, std::shared_ptr<const Lpips> lpips) {
  const Method method = method_of(config);
  TORCH_CHECK(!method.has_target || models.target, "the objective needs a target");
  TORCH_CHECK(!method.needs_teacher || models.teacher, "the objective needs a teacher");
  TORCH_CHECK(!method.keeps_start || models.start, "the objective needs what its student starts from");
  models.guidance = config.teacher.guidance;
  models.total_steps = config.train.steps;
  models.seed = static_cast<uint64_t>(config.train.seed);
  if (method.distance) models.distance = make_distance(*method.distance, std::move(lpips));
  Objective objective;
  with_options(config, [&](const auto& options) { objective = objective_of(options, models); });
  return objective;
}

Parameterization parameterization_of(const RunConfig& config) {
  return config.parameterization.value_or(method_of(config).parameterizations.front());
}

void validate(const RunConfig& config, const Complain& complain) {
  complain_of_sections(config, complain);
  const Method method = method_of(config);
  complain_of_teacher(config, method, complain);
  complain_of_init(config, method, complain);
  complain_of_pairs(config, method, complain);
  complain_of_transition(config, method, complain);
  complain_of_lpips(config, method, complain);
  if (!config.model && !config.teacher.checkpoint && !config.init.checkpoint) {
    complain("model", "is needed where neither teacher.checkpoint nor init.checkpoint names a network");
  }
  complain_of_parameterization(config, method, complain);
  complain_of_times(config, complain);
}

}  // namespace cm
