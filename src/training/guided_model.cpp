#include "cm/training/guided_model.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/training/weight_choice.h"

namespace cm {
namespace {

std::string in_words(const std::optional<int64_t>& distilled_steps) {
  return distilled_steps ? concat("was distilled to ", *distilled_steps, " steps") : "was not";
}

// `function_of(model, labels)` is what the models are guided in.
template <class Function>
auto guided_function(const Model& model, const Tensor& labels, const Guidance& guidance, Levels levels,
                     const Function& function_of) {
  if (guidance.weight == 1) return function_of(model, labels);
  if (const Model* guide = model.guide()) {
    const bool has_classes = guide->options().image.classes > 0;
    return guided(function_of(model, labels), function_of(*guide, has_classes ? labels : Tensor()), guidance,
                  levels);
  }
  TORCH_CHECK(labels.defined(), "guidance needs labels");
  return guided(function_of(model, labels), function_of(model, torch::full_like(labels, kNullClass)),
                guidance, levels);
}

}  // namespace

void check_guidance(const ModelOptions& model, const Guidance& guidance, bool has_guide,
                    const std::string& what) {
  const double w = guidance.weight;
  if (!std::isfinite(w) || w < 0) throw InputError(concat(what, ": must be a number of at least 0"));
  if (guidance.sigma_max && *guidance.sigma_max <= guidance.sigma_min) {
    throw InputError(concat(what, ": holds for sigma above ", guidance.sigma_min, " and up to ",
                            *guidance.sigma_max, ", which is nowhere; give a smaller and a larger one"));
  }
  if (w == 1) return;
  if (model.guidance) {
    throw InputError(concat(what, ": guidance of weight ", *model.guidance,
                            " was distilled into the model already; leave it out"));
  }
  if (has_guide) return;
  if (model.image.classes == 0) {
    throw InputError(
        concat(what,
               ": the model has no classes, and guidance leads towards one; leave it out, or name a "
               "weaker model that leads away from itself (guide)"));
  }
  if (model.label_dropout == 0) {
    throw InputError(
        concat(what,
               ": the model was trained without label dropout, so it doesn't know how to do without a class, "
               "which guidance needs; train one with train.label_dropout=0.1, say, or name a weaker model "
               "(guide)"));
  }
}

void check_guide(const ModelOptions& model, const ModelOptions& guide, const std::string& what) {
  const bool same_images =
      model.image.channels == guide.image.channels && model.image.size == guide.image.size;
  const bool same_classes = guide.image.classes == 0 || guide.image.classes == model.image.classes;
  if (!same_images || !same_classes) {
    throw InputError(concat(what, ": is a model of other images (", in_words(guide.image),
                            ") than the one that it is to guide (", in_words(model.image), ")"));
  }
  if (const auto other = difference(guide.latents, model.latents); !other.empty())
    throw InputError(concat(what, ": is ", other, ", as the one that it is to guide"));
  if (is_diffusion(model.parameterization) != is_diffusion(guide.parameterization)) {
    const auto kind = [](const ModelOptions& one) {
      return is_diffusion(one.parameterization) ? "a diffusion model" : "a consistency model";
    };
    throw InputError(
        concat(what, ": is ", kind(guide), " and would guide ", kind(model), "; name one of the same kind"));
  }
  if (model.distilled_steps != guide.distilled_steps) {
    throw InputError(concat(what, ": ", in_words(guide.distilled_steps),
                            ", but the model that it would guide ", in_words(model.distilled_steps),
                            "; name one of the same steps"));
  }
}

std::optional<std::filesystem::path> guide_for(const ModelOptions& model, const Guidance& guidance,
                                               const std::optional<std::string>& guide) {
  const std::string what = concat("--guidance ", guidance.weight);
  check_guidance(model, guidance, guide.has_value(), what);
  if (guidance.weight == 1 && (guide || !guidance.everywhere())) {
    throw InputError(concat(what, " guides nothing, so ", guide ? "--guide" : "--guidance-sigma-min and -max",
                            " would have no effect; give another weight, as --guidance 2"));
  }
  if (!guide) return std::nullopt;
  const std::filesystem::path file = resolve_weights(*guide).file;
  check_guide(model, read_weight_header(file).options, concat("--guide ", file.string()));
  return file;
}

Denoiser guided_denoiser(const Model& model, const Tensor& labels, const Guidance& guidance, Levels levels) {
  return guided_function(model, labels, guidance, levels,
                         [](const Model& one, const Tensor& of) { return one.denoiser(of); });
}

FlowMap guided_flow_map(const Model& model, const Tensor& labels, const Guidance& guidance, Levels levels) {
  return guided_function(model, labels, guidance, levels,
                         [](const Model& one, const Tensor& of) { return one.flow_map(of); });
}

}  // namespace cm
