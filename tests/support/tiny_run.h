// A whole training run of a method with tiny models (support/tiny_model.h).
#pragma once

#include <concepts>

#include "cm/kernels/normal.h"
#include "cm/training/methods.h"
#include "cm/training/trainer.h"
#include "support/tiny_model.h"

namespace cm::test {

inline const std::vector<ObjectiveKind> kMethods = [] {
  std::vector<ObjectiveKind> all;
  for (const auto& entry : EnumNames<ObjectiveKind>::names) all.push_back(entry.value);
  return all;
}();

// A method's options for a run of a few steps, where its defaults are for a long one.
template <class Options>
void shorten(Options&) {}

inline void shorten(EctOptions& options) {
  options.pairs.steps_per_stage = 2;
}

// Pairs so far apart that half precision tells them from one another, and sums in another order come close.
inline void shorten(TcmOptions& options) {
  options.pairs.first_stage = 1;
}

template <std::derived_from<ScmOptions> Options>
void shorten(Options& options) {
  options.tangent_warmup_steps = 3;
}

// Stages of 4, 2 and 1 sampling steps that begin at training steps 0, 2 and 5.
inline void shorten(PdOptions& options) {
  options = {.start_steps = 4, .steps_per_stage = 2, .steps_two = 3};
}

// Starts so far apart that half precision tells what comes of them from one another.
inline void shorten(ImmOptions& options) {
  options.group = 2;
  options.decrement = 4;
}

// One form of steps from the first to the last.
inline void shorten(AlphaFlowOptions& options) {
  options.alpha.clamp = 0;
}

// A method's objective by its shortened options, with the distance that they name.
inline Objective shortened_objective(ObjectiveKind kind, Binding binding) {
  const Method method = method_by_default(kind);
  if (method.distance) binding.distance = make_distance(*method.distance);
  Objective objective;
  MethodSections none;
  with_section(none, kind, [&]<class Options>(std::optional<Options>&) {
    Options options;
    shorten(options);
    objective = objective_of(options, binding);
  });
  return objective;
}

inline TrainOptions tiny_train_options() {
  TrainOptions options;
  options.steps = 4;
  options.batch_size = 6;
  options.log_every = 1;
  options.sample_every = 0;
  options.checkpoint_every = {2};
  return options;
}

// Random images in [−1, 1] with labels and, for methods that take pairs, what they were made of; others for
// each step.
inline Batch tiny_batch(int64_t step, int64_t size = 6) {
  const auto draw = [&](uint64_t seed) {
    const RandomKey key{.seed = seed, .purpose = Purpose::evaluation, .step = static_cast<uint32_t>(step)};
    return normal(key, sample_range(0, size), {1, 4, 4});
  };
  return {draw(21).clamp(-1, 1), torch::arange(size).remainder(3), SigmaOptions().max * draw(22)};
}

// Samples first … first + n − 1.
inline Batch part_of(const Batch& batch, int64_t first, int64_t n) {
  return {rows_of(batch.x, first, n), rows_of(batch.labels, first, n), rows_of(batch.x_T, first, n)};
}

// All of a batch as what an objective is asked with at a step.
inline TrainingBatch training_batch(const Batch& batch, int64_t step, int64_t first_sample = 0) {
  return {batch.x, batch.labels, step, sample_range(first_sample, batch.x.size(0)), {}, batch.x_T};
}

struct TinyRun {
  explicit TinyRun(ObjectiveKind which, const TrainOptions& options = tiny_train_options(),
                   const NetworkOptions& network = tiny_network(/*dropout=*/0.2),
                   const EmaOptions& ema = {.rates = {0.5, 0.9}, .warmup = EmaWarmup::none})
      : kind(which),
        method(method_by_default(which)),
        teacher(tiny_model(model_options(Parameterization::edm, network), 1)),
        student(tiny_model(model_options(method.parameterizations.front(), network), 2)),
        target(tiny_model(student.options(), 2)),
        start(student.frozen_copy(student.options())),
        objective(shortened_objective(which, {.student = student,
                                              .target = &target,
                                              .teacher = &teacher,
                                              .start = &start,
                                              .total_steps = options.steps,
                                              .seed = static_cast<uint64_t>(options.seed)})),
        trainer(options, optimizer_options(), ema, objective, student,
                method.has_target ? &target : nullptr) {}
  TinyRun(const TinyRun&) = delete;
  TinyRun& operator=(const TinyRun&) = delete;

  void compute_in(ComputeType type) {
    for (Model* model : {&student, &target, &teacher, &start}) model->compute_in(type);
  }

  // Trains until `step` steps are done.
  void train_to(int64_t step) {
    while (trainer.steps_done() < step) trainer.step(tiny_batch(trainer.steps_done()));
  }

  ObjectiveKind kind;
  Method method;
  Model teacher;
  Model student;
  Model target;
  Model start;
  Objective objective;
  Trainer trainer;

 private:
  static ModelOptions model_options(Parameterization parameterization, const NetworkOptions& network) {
    ModelOptions options = tiny_options(parameterization);
    options.network = network;
    common_options(options.network).second_time = is_flow_map(parameterization);
    return options;
  }

  static OptimizerOptions optimizer_options() {
    OptimizerOptions options;
    options.lr = 1e-3;
    return options;
  }
};

}  // namespace cm::test
