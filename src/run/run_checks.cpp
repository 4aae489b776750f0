#include "run_checks.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/latents.h"

namespace cm {
namespace {

// `what` names the model and where it comes from.
void check_images(const std::string& what, const ImageSpec& theirs, const ImageSpec& image) {
  const bool same =
      theirs.channels == image.channels && theirs.size == image.size && theirs.classes == image.classes;
  if (same) return;
  throw InputError(concat(what, ": was trained on other images (", in_words(theirs), ") than data gives (",
                          in_words(image), ")"));
}

// `what` teaches the null class to a student that learns it.
void check_null_class(const RunConfig& config, const std::string& what, const ModelOptions& teacher) {
  if (config.train.label_dropout == 0 || teacher.label_dropout > 0) return;
  throw InputError(concat("train.label_dropout ", config.train.label_dropout, ": ", what,
                          " was trained without it and can't teach the null class; set it to 0"));
}

// A student of progressive distillation is a denoiser at its own levels only: the next student can halve its
// steps, nothing else can be learned from it.
void check_distilled_teacher(const RunConfig& config, const Method& method, int64_t steps) {
  const auto needed = method.teacher_steps;
  if (needed == steps) return;
  throw InputError(concat("teacher.checkpoint ", *config.teacher.checkpoint, ": was distilled to ", steps,
                          " sampling steps and is a denoiser at those levels only; ",
                          needed && steps > 1 ? concat(to_string(config.objective), ".start_steps must be ",
                                                       steps / 2, ", got ", *needed / 2)
                                              : "name the model that was distilled"));
}

}  // namespace

void check_pairs(const RunConfig& config, const PairSet& pairs) {
  if (std::abs(pairs.sigma_max / config.sigma.max - 1) < 1e-6) return;
  throw InputError(concat("data.path ", config.data.path, ": its pairs start at sigma ", pairs.sigma_max,
                          ", but sigma.max is ", config.sigma.max, "; set sigma.max=", pairs.sigma_max));
}

void check_latents(const RunConfig& config, const Dataset& data) {
  constexpr int64_t kLookedAt = 256;
  if (!data.latents()) return;
  check_statistics(data.latents()->statistics(kLookedAt), *config.data.latents, config.sigma.data,
                   config.data.path);
}

void check_lpips(const RunConfig& config, const ImageSpec& image, bool latents) {
  if (latents) {
    throw InputError(concat(to_string(config.objective), ".distance: lpips compares pixels, and ",
                            config.data.path, " has latents; choose another distance"));
  }
  if (image.channels != 3) {
    throw InputError(concat(to_string(config.objective), ".distance: lpips compares images of 3 channels, ",
                            config.data.path, " has ", image.channels, "; choose another distance"));
  }
}

void check_teacher(const RunConfig& config, const Method& method, const ModelOptions& teacher,
                   const ImageSpec& image) {
  const std::string what = concat("teacher.checkpoint ", *config.teacher.checkpoint);
  if (!is_diffusion(teacher.parameterization)) {
    throw InputError(concat(what, ": is a consistency model (", to_string(teacher.parameterization),
                            "); a diffusion model is needed"));
  }
  check_images(what, teacher.image, image);
  if (teacher.distilled_steps) check_distilled_teacher(config, method, *teacher.distilled_steps);
}

void check_label_dropout(const RunConfig& config, const ImageSpec& image,
                         const std::optional<Model>& teacher) {
  if (config.train.label_dropout == 0) return;
  if (image.classes == 0) {
    throw InputError(concat("train.label_dropout ", config.train.label_dropout, ": ", config.data.path,
                            " gives no classes that could be dropped; set it to 0"));
  }
  if (teacher) {
    check_null_class(config, concat("teacher.checkpoint ", *config.teacher.checkpoint), teacher->options());
  }
  const Model* guide = teacher ? teacher->guide() : nullptr;
  if (guide && guide->options().image.classes > 0 && guide->options().label_dropout == 0) {
    throw InputError(concat("teacher.guide ", *config.teacher.guide,
                            ": was trained without label dropout and does not know the null class, which "
                            "train.label_dropout ",
                            config.train.label_dropout, " asks it for; set that to 0"));
  }
}

void check_kept_start(const RunConfig& config, const ModelOptions& start, const ImageSpec& image) {
  const std::string what = concat("init.checkpoint ", *config.init.checkpoint);
  if (start.parameterization != config.parameterization) {
    throw InputError(
        concat(what, ": is a ", is_diffusion(start.parameterization) ? "diffusion" : "consistency",
               " model (", to_string(start.parameterization), "); objective ", to_string(config.objective),
               " needs a consistency model (", to_string(*config.parameterization), "); train one by ect"));
  }
  check_images(what, start.image, image);
  check_null_class(config, what, start);
}

void check_times(const RunConfig& config, const std::string& what, const NetworkOptions& theirs) {
  const bool wanted = is_flow_map(*config.parameterization);
  if (!common_options(theirs).second_time || wanted) return;
  throw InputError(concat(what, ": is a flow map, whose network has two times; objective ",
                          to_string(config.objective), " trains a network of one"));
}

void check_target_guidance(const RunConfig& config, const Method& method, const ImageSpec& image) {
  if (!method.target_guidance || config.train.label_dropout > 0) return;
  const std::string what = concat(to_string(config.objective), ".guidance: ");
  if (image.classes == 0) {
    throw InputError(concat(what, "leads towards a class, and ", config.data.path, " gives none; remove it"));
  }
  throw InputError(concat(what,
                          "leads away from the network's answer without a class, which it learns where "
                          "train.label_dropout hides classes; set that to 0.1, say, or remove this"));
}

void check_twice_differentiable(const RunConfig& config, const Method& method) {
  const bool twice = method.derivative == Derivative::through_tangent;
  if (twice && common_options(*config.model).activation_checkpointing) {
    throw InputError(concat(to_string(config.objective),
                            ".stop_gradient: false does not go with model.activation_checkpointing; set that "
                            "to false, or stop_gradient to true"));
  }
}

}  // namespace cm
