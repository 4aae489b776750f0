// The configuration of a training run: one section an option struct of the modules below.
#pragma once

#include <optional>
#include <string>

#include "cm/data/dataset.h"
#include "cm/training/cd_objective.h"
#include "cm/training/continuous_objective.h"
#include "cm/training/ct_objective.h"
#include "cm/training/ect_objective.h"
#include "cm/training/edm_objective.h"
#include "cm/training/ict_objective.h"
#include "cm/training/pd_objective.h"
#include "cm/training/scm_objective.h"
#include "cm/training/trainer.h"

namespace cm {

enum class ObjectiveKind { edm, cd, ct, ict, ect, continuous_cd, continuous_ct, sct, scd, pd };
template <>
struct EnumNames<ObjectiveKind> {
  static constexpr std::array names = {EnumName{ObjectiveKind::edm, "edm"},
                                       EnumName{ObjectiveKind::cd, "cd"},
                                       EnumName{ObjectiveKind::ct, "ct"},
                                       EnumName{ObjectiveKind::ict, "ict"},
                                       EnumName{ObjectiveKind::ect, "ect"},
                                       EnumName{ObjectiveKind::continuous_cd, "continuous_cd"},
                                       EnumName{ObjectiveKind::continuous_ct, "continuous_ct"},
                                       EnumName{ObjectiveKind::sct, "sct"},
                                       EnumName{ObjectiveKind::scd, "scd"},
                                       EnumName{ObjectiveKind::pd, "pd"}};
};

// Weights that come from elsewhere.
struct WeightSource {
  std::optional<std::string> checkpoint;
  std::optional<double> ema;
};

template <class Visitor>
void fields(Visitor& visit, WeightSource& o) {
  visit("checkpoint", o.checkpoint, "a weight file, a checkpoint folder or a run");
  visit("ema", o.ema, "which evaluation average of it; 0: the trained weights; default: as sampling chooses",
        from_below(0, 1));
}

// The diffusion model that is distilled.
struct TeacherSource : WeightSource {
  double guidance = 1;
};

template <class Visitor>
void fields(Visitor& visit, TeacherSource& o) {
  fields(visit, static_cast<WeightSource&>(o));
  visit(
      "guidance", o.guidance,
      "weight w of classifier-free guidance, D_null + w (D_class − D_null), whose steps the student learns; "
      "needs a teacher trained with train.label_dropout. 1: none",
      at_least(0));
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
  ObjectiveKind objective = ObjectiveKind::edm;
  DataOptions data;
  std::optional<UNetOptions> model;
  std::optional<Parameterization> parameterization;
  SigmaOptions sigma;
  std::optional<EdmOptions> edm;
  std::optional<CdOptions> cd;
  std::optional<CtOptions> ct;
  std::optional<IctOptions> ict;
  std::optional<EctOptions> ect;
  std::optional<ContinuousOptions> continuous_cd;
  std::optional<ContinuousOptions> continuous_ct;
  std::optional<PdOptions> pd;
  std::optional<ScmOptions> sct;
  std::optional<ScmOptions> scd;
  LpipsSource lpips;
  TeacherSource teacher;
  WeightSource init;
  OptimizerOptions optimizer;
  EmaOptions ema;
  SamplingOptions sampling;
  TrainOptions train;
};

template <class Visitor>
void fields(Visitor& visit, RunConfig& o) {
  visit("objective", o.objective,
        "what is trained: a diffusion teacher, a consistency model by one of its methods, or a diffusion "
        "model of "
        "few steps");
  visit("data", o.data, "the images");
  visit("model", o.model, "the U-Net; absent: that of the teacher or of init, without dropout");
  visit(
      "parameterization", o.parameterization,
      "how the network becomes a denoiser or consistency function; default: edm for edm and pd, trig for sct "
      "and scd, skip for the others");
  visit("sigma", o.sigma, "noise levels");
  visit("edm", o.edm, "denoising score matching (EDM)");
  visit("cd", o.cd, "consistency distillation (CM Algorithm 2)");
  visit("ct", o.ct, "consistency training (CM Algorithm 3)");
  visit("ict", o.ict, "improved consistency training (iCT)");
  visit("ect", o.ect, "easy consistency tuning of a diffusion model, which init.checkpoint names (ECT)");
  visit("continuous_cd", o.continuous_cd, "consistency distillation in continuous time (CM Appendix B.1)");
  visit("continuous_ct", o.continuous_ct, "consistency training in continuous time (CM Appendix B.2)");
  visit("pd", o.pd, "progressive distillation (PD)");
  visit("sct", o.sct, "continuous-time consistency training in TrigFlow (sCM)");
  visit("scd", o.scd, "continuous-time consistency distillation in TrigFlow (sCM)");
  visit("lpips", o.lpips, "the network of distance lpips");
  visit("teacher", o.teacher,
        "the diffusion model that cd, continuous_cd, scd and pd distill; the student starts from its weights "
        "where it takes time as the teacher does");
  visit("init", o.init, "start weights, of the same network");
  visit("optimizer", o.optimizer, "optimizer and learning rate");
  visit("ema", o.ema, "evaluation averages");
  visit("sampling", o.sampling, "how the trained model is sampled by default");
  visit("train", o.train, "the run");
}

// The rules between sections: the section of another objective, a teacher or a network of the distance that
// is missing or unused, a parameterization that the objective can't train.
void validate(const RunConfig& config, const Complain& complain);

// The parameterization that the config names or its objective implies.
Parameterization parameterization_of(const RunConfig& config);

}  // namespace cm
