// A whole training run of a method with tiny models (support/tiny_model.h).
#pragma once

#include "cm/training/cd_objective.h"
#include "cm/training/continuous_objective.h"
#include "cm/training/ct_objective.h"
#include "cm/training/distance_function.h"
#include "cm/training/ect_objective.h"
#include "cm/training/edm_objective.h"
#include "cm/training/ict_objective.h"
#include "cm/training/pd_objective.h"
#include "cm/training/scm_objective.h"
#include "cm/training/trainer.h"
#include "support/tiny_model.h"

namespace cm::test {

enum class Method { edm, cd, ct, ict, ect, continuous_cd, continuous_ct, sct, scd, pd };

inline constexpr Method kMethods[] = {
    Method::edm,           Method::cd,  Method::ct,  Method::ict, Method::ect, Method::continuous_cd,
    Method::continuous_ct, Method::sct, Method::scd, Method::pd};

inline Parameterization parameterization_of(Method method) {
  switch (method) {
    case Method::edm:
    case Method::pd:
      return Parameterization::edm;
    case Method::cd:
    case Method::ct:
    case Method::ict:
    case Method::ect:
    case Method::continuous_cd:
    case Method::continuous_ct:
      return Parameterization::skip;
    case Method::sct:
    case Method::scd:
      return Parameterization::trig;
  }
  return Parameterization::skip;
}

// Stages of 4, 2 and 1 sampling steps that begin at training steps 0, 2 and 5.
inline PdOptions tiny_pd_options() {
  return {.start_steps = 4, .steps_per_stage = 2, .steps_two = 3};
}

inline TrainOptions tiny_train_options() {
  TrainOptions options;
  options.steps = 4;
  options.batch_size = 6;
  options.log_every = 1;
  options.sample_every = 0;
  options.checkpoint_every = 2;
  return options;
}

// Random images in [−1, 1] with labels, another set for each step.
inline Batch tiny_batch(int64_t step, int64_t size = 6) {
  const RandomKey key{.seed = 21, .purpose = Purpose::evaluation, .step = static_cast<uint32_t>(step)};
  return {normal(key, sample_range(0, size), {1, 4, 4}).clamp(-1, 1), torch::arange(size).remainder(3)};
}

// All of a batch as what an objective is asked with at a step.
inline TrainingBatch training_batch(const Batch& batch, int64_t step) {
  return {batch.x, batch.labels, step, sample_range(0, batch.x.size(0))};
}

struct TinyRun {
  explicit TinyRun(Method which, const TrainOptions& options = tiny_train_options(),
                   const UNetOptions& network = tiny_network(/*dropout=*/0.2),
                   const EmaOptions& ema = {.rates = {0.5, 0.9}, .warmup = EmaWarmup::none})
      : method(which),
        teacher(tiny_model(model_options(Method::edm, network), 1)),
        student(tiny_model(model_options(which, network), 2)),
        target(tiny_model(model_options(which, network), 2)),
        objective(make_objective(options)),
        trainer(options, optimizer_options(), ema, objective, student, has_target() ? &target : nullptr) {}
  TinyRun(const TinyRun&) = delete;
  TinyRun& operator=(const TinyRun&) = delete;

  // CD and CT: the methods whose target network is an average.
  bool has_target() const { return method == Method::cd || method == Method::ct; }

  void compute_in(ComputeType type) {
    for (Model* model : {&student, &target, &teacher}) model->compute_in(type);
  }

  // Trains until `step` steps are done.
  void train_to(int64_t step) {
    while (trainer.steps_done() < step) trainer.step(tiny_batch(trainer.steps_done()));
  }

  Method method;
  Model teacher;
  Model student;
  Model target;
  Objective objective;
  Trainer trainer;

 private:
  static ModelOptions model_options(Method method, const UNetOptions& network) {
    ModelOptions options = tiny_options(parameterization_of(method));
    options.network = network;
    return options;
  }

  static OptimizerOptions optimizer_options() {
    OptimizerOptions options;
    options.lr = 1e-3;
    return options;
  }

  Objective make_objective(const TrainOptions& options) {
    const auto seed = static_cast<uint64_t>(options.seed);
    switch (method) {
      case Method::edm:
        return edm_objective({}, student, seed);
      case Method::cd:
        return cd_objective({}, make_distance({}), student, target, teacher, seed);
      case Method::ct:
        return ct_objective({}, make_distance({}), student, target, options.steps, seed);
      case Method::ict:
        return ict_objective({}, make_distance({.kind = Distance::pseudo_huber}), student, options.steps,
                             seed);
      case Method::ect:
        return ect_objective({.steps_per_stage = 2}, student, seed);
      case Method::continuous_cd:
        return continuous_cd_objective({}, make_distance({}), student, teacher, seed);
      case Method::continuous_ct:
        return continuous_ct_objective({}, make_distance({}), student, seed);
      case Method::pd:
        return pd_objective(tiny_pd_options(), make_distance({}), student, teacher, options.steps, seed);
      case Method::sct:
        return sct_objective({.tangent_warmup_steps = 3}, student, seed);
      case Method::scd:
        return scd_objective({.tangent_warmup_steps = 3}, student, teacher, seed);
    }
    return {};
  }
};

}  // namespace cm::test
