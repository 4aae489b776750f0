// The configuration of a training run: one section an option struct of the modules below.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cm/base/text.h"
#include "cm/data/dataset.h"
#include "cm/training/methods.h"
#include "cm/training/trainer.h"
#include "cm/training/weight_choice.h"

namespace cm {

// Weights that come from elsewhere.
struct WeightSource : WeightChoice {
  std::optional<std::string> checkpoint;
};

template <class Visitor>
void fields(Visitor& visit, WeightSource& o) {
  visit("checkpoint", o.checkpoint, "a weight file, a checkpoint folder or a run");
  fields(visit, static_cast<WeightChoice&>(o));
}

// The diffusion model that is distilled.
struct TeacherSource : WeightSource {
  Guidance guidance;
  std::optional<std::string> guide;
};

template <class Visitor>
void fields(Visitor& visit, TeacherSource& o) {
  fields(visit, static_cast<WeightSource&>(o));
  visit(
      "guidance", o.guidance.weight,
      "weight w of guidance, D_weak + w (D − D_weak), whose steps the student learns; the weaker answer is "
      "the teacher's without a class, if it was trained with train.label_dropout, or that of guide. 1: none",
      at_least(0));
  visit("guidance_sigma_min", o.guidance.sigma_min, "guide at noise levels above this one only", at_least(0));
  visit("guidance_sigma_max", o.guidance.sigma_max,
        "guide at noise levels up to this one only; default: at all", above(0));
  visit("guide", o.guide,
        "a smaller or less trained diffusion model that guidance leads away from: a weight file, a "
        "checkpoint folder or a run");
}

// The network of distance lpips.
struct LpipsSource {
  std::optional<std::string> weights;
};

template <class Visitor>
void fields(Visitor& visit, LpipsSource& o) {
  visit("weights", o.weights, "the file that scripts/export_lpips.py makes; distance lpips needs it");
}

struct RunConfig {
  ObjectiveKind objective = kObjective<EdmOptions>;
  DataOptions data;
  std::optional<NetworkOptions> model;
  std::optional<Parameterization> parameterization;
  SigmaOptions sigma;
  MethodSections sections;
  LpipsSource lpips;
  TeacherSource teacher;
  WeightSource init;
  OptimizerOptions optimizer;
  EmaOptions ema;
  SamplingOptions sampling;
  TrainOptions train;

  // The section of a method by its options.
  template <class Options>
  std::optional<Options>& section() {
    return std::get<std::optional<Options>>(sections);
  }
  template <class Options>
  const std::optional<Options>& section() const {
    return std::get<std::optional<Options>>(sections);
  }

  // Trains by this method.
  template <class Options>
  void train_by(const Options& options) {
    objective = kObjective<Options>;
    section<Options>() = options;
  }
};

// For the help: which method has which parameterization by default, and those that need a teacher.
std::string default_parameterizations();
std::string methods_with_teacher();

template <class Visitor>
void fields(Visitor& visit, RunConfig& o) {
  visit("objective", o.objective,
        "what is trained: a diffusion teacher, a consistency model by one of its methods, or a diffusion "
        "model of few steps");
  visit("data", o.data, "the images");
  visit("model", o.model, "the network; absent: that of the teacher or of init, without dropout");
  visit("parameterization", o.parameterization,
        concat("how the network becomes a denoiser or consistency function; default: ",
               default_parameterizations()));
  visit("sigma", o.sigma, "noise levels");
  for_each_section(o.sections, [&visit]<class Options>(std::optional<Options>& section) {
    visit(std::string(Options::name.objective), section, Options::name.help);
  });
  visit("lpips", o.lpips, "the network of distance lpips");
  visit("teacher", o.teacher,
        concat("the diffusion model that ", methods_with_teacher(),
               " distill; the student starts from its weights where it takes time as the teacher does"));
  visit("init", o.init, "start weights, of the same network");
  visit("optimizer", o.optimizer, "optimizer and learning rate");
  visit("ema", o.ema, "evaluation averages");
  visit("sampling", o.sampling, "how the trained model is sampled by default");
  visit("train", o.train, "the run");
}

// The rules between sections: the section of another objective, a teacher or a network of the distance that
// is missing or unused, a parameterization that the objective can't train.
void validate(const RunConfig& config, const Complain& complain);

// What its objective tells of itself, by its section or the defaults.
Method method_of(const RunConfig& config);

// The parameterization that the config names or its objective implies.
Parameterization parameterization_of(const RunConfig& config);

// By the section of config.objective, or its defaults. `models` has the student and, where method_of says so,
// target and teacher; all else of the binding is the config's, with the distance that method_of names, of
// which `lpips` is the network if it is LPIPS.
Objective objective_of(const RunConfig& config, Binding models, std::shared_ptr<const Lpips> lpips = nullptr);

}  // namespace cm
