// One training step, the same for every method: label dropout, forced weight normalisation (EDM2's), losses,
// backward pass, optimizer, target and evaluation averages. Several ranks do the step of their joined batch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/limits.h"
#include "cm/data/loader.h"
#include "cm/distributed/gradient_sum.h"
#include "cm/distributed/parameter_shards.h"
#include "cm/distributed/world.h"
#include "cm/nn/compute_type.h"
#include "cm/training/ema.h"
#include "cm/training/every.h"
#include "cm/training/loss_scale.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"
#include "cm/training/optimizer.h"
#include "cm/training/recorded_step.h"

namespace cm {

// What a non-finite loss or gradient does to the run.
enum class OnNonFinite {
  stop,  // ends it with an Error
  skip,  // leaves the weights as they are for this step, and counts it
};

struct TrainOptions {
  int64_t steps = 1000;
  int64_t batch_size = 64;
  std::optional<int64_t> micro_batch_size;
  int64_t seed = 0;
  ComputeType dtype = ComputeType::fp32;
  double label_dropout = 0;
  int64_t log_every = 50;
  int64_t sample_every = 500;
  int64_t sample_count = 40;
  Every checkpoint_every = {500};
  int64_t keep_checkpoints = 2;
  int64_t keep_every = 0;
  bool save_in_background = true;
  OnNonFinite on_non_finite = OnNonFinite::stop;
  bool deterministic = false;
  bool cuda_graph = false;
  Shard shard = Shard::none;
  double distributed_timeout = kUsualTimeout;
};

template <class Visitor>
void fields(Visitor& visit, TrainOptions& o) {
  visit("steps", o.steps, "training steps", within(1, kMostSteps));
  visit("batch_size", o.batch_size, "images a step, of all processes together", within(1, kMostAtOnce));
  visit("micro_batch_size", o.micro_batch_size,
        "images in one pass through the network; gradients add up over the batch (less memory). Default: all "
        "that a process has of the batch",
        within(1, kMostAtOnce));
  visit("seed", o.seed, "decides initial weights, data order, noise and σ", within(0, kLargestSeed));
  visit("dtype", o.dtype,
        "what the networks' products are computed in; weights, gradients and averages are fp32 always. bf16 "
        "and fp16: mixed precision, fp16 with dynamic loss scaling; tf32: fp32 rounded to 10 bits in "
        "products, on GPUs, as in mixed precision the convolutions that stay fp32");
  visit("label_dropout", o.label_dropout,
        "probability that an example's class is not told (the null class), as guidance needs it: 0.1, say",
        from_below(0, 1));
  visit("log_every", o.log_every, "steps between two lines of metrics.jsonl", within(1, kMostSteps));
  visit("sample_every", o.sample_every, "steps between two sample grids; 0: none", within(0, kMostSteps));
  visit("sample_count", o.sample_count, "images in a sample grid", within(1, kMostAtOnce));
  visit("checkpoint_every", o.checkpoint_every,
        "steps or time between two checkpoints; the last step always has one");
  visit("keep_checkpoints", o.keep_checkpoints,
        "newest checkpoints that are kept, besides the last of each stage and those of keep_every; 0: all",
        within(0, kMostSteps));
  visit("keep_every", o.keep_every,
        "of every so many steps the first checkpoint stays too, as at 10000, 20000, … for 10000; 0: none",
        within(0, kMostSteps));
  visit("save_in_background", o.save_in_background,
        "copy what a checkpoint holds to the host's memory and train on while it is written; false: less "
        "memory, training waits for the disk");
  visit("on_non_finite", o.on_non_finite,
        "what a non-finite loss does: stop the run, or skip the step and count it");
  visit("deterministic", o.deterministic, "deterministic CUDA kernels: bit-identical repeats, slower");
  visit("cuda_graph", o.cuda_graph,
        "record the step on the GPU once and play it again: no launches from the host, more memory. A line "
        "of the log says why where it cannot be");
  visit("shard", o.shard,
        "of several processes: what each keeps a part of instead of all. optimizer: the optimizer's moments "
        "and the evaluation averages; gradients: gradients too, which are then sent after every micro-batch");
  visit(
      "distributed_timeout", o.distributed_timeout,
      "of several processes: seconds that one waits for the others, also while rank 0 writes, before it ends",
      above(0));
}

void validate(const TrainOptions& options, const Complain& complain);

// A rank's part of the batch. InputError when the batch can't be divided into equal parts, or a part into
// micro-batches.
int64_t rank_batch_size(const TrainOptions& options, const World& world);

// InputError when the parts in which a rank computes its batch are no multiples of `group` (Method::group).
void check_groups(const TrainOptions& options, const World& world, int64_t group);

class Trainer {
 public:
  // `student` is trained; `target`, where the method has one, follows it. Both must outlive the trainer, like
  // everything that the objective refers to. InputError as rank_batch_size.
  Trainer(const TrainOptions& options, const OptimizerOptions& optimizer_options,
          const EmaOptions& ema_options, Objective objective, Model& student, Model* target,
          World world = World());
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Performs step number steps_done() with this rank's part of the batch, then counts it; at a stage's first
  // step begins the stage. Error when a loss or gradient is found to be non-finite, on all ranks: at once on
  // the CPU, at the next check_finite() on a GPU.
  StepResult step(const Batch& batch);

  // Gives every rank the weights, averages and moments of rank 0, which other machines may have computed or
  // read a little differently; what is cut into parts exists once anyway.
  void share_state();

  // Waits for the device and throws Error, naming step and σ range, when a step since the last check was
  // non-finite.
  void check_finite();

  int64_t steps_done() const { return step_; }
  // Of this stage, those that were played from a recording (train.cuda_graph).
  int64_t steps_played() const { return recorded_ ? recorded_->played() : 0; }
  void set_steps_done(int64_t step) { step_ = step; }
  int64_t skipped() const { return skipped_.item<int64_t>(); }  // waits for the device
  void set_skipped(int64_t skipped) { skipped_.fill_(skipped); }

  // Of the step that comes next.
  double lr() const {
    const Stage stage = stage_of(step_);
    return learning_rate(optimizer_options_, step_ - stage.first, stage.length);
  }
  CurriculumPoint curriculum() const { return objective_.curriculum(step_); }

  // Steps since the averages were started: all, or those of the stage of the last step.
  int64_t steps_in_stage() const { return step_ - stage_of(last_step()).first; }
  // Whether a stage after the first begins with step k, so that k steps done are the end of one.
  bool begins_stage(int64_t step) const { return step > 0 && stage_of(step).first == step; }
  // What a weight file of the student as it stands says of it.
  ModelOptions weight_options() const;

  // Where train.dtype is fp16; otherwise nullptr.
  LossScale* loss_scale() { return loss_scale_ ? &*loss_scale_ : nullptr; }
  const LossScale* loss_scale() const { return loss_scale_ ? &*loss_scale_ : nullptr; }

  Model& student() { return student_; }
  Model* target() { return target_; }
  // The teacher, where it changes with the stages and so belongs to the state; otherwise nullptr.
  Model* stage_teacher() { return objective_.stages ? objective_.stages->teacher : nullptr; }
  // Objective::learned.
  torch::nn::Module* learned() { return objective_.learned.get(); }
  EmaSet& averages() { return averages_; }
  const EmaOptions& ema_options() const { return ema_options_; }
  Optimizer& optimizer() { return optimizer_; }
  const World& world() const { return shards_.world(); }
  // Which parts of the moments and averages are this rank's. Averages are those of the first parameters, the
  // student's.
  const ParameterShards& shards() const { return shards_; }

 private:
  int64_t last_step() const { return std::max<int64_t>(0, step_ - 1); }
  // Training without stages is one stage.
  Stage stage_of(int64_t step) const {
    return objective_.stages ? objective_.stages->at(step) : Stage{.length = options_.steps};
  }
  void begin_stage();
  TrainingBatch drawn(const Batch& batch) const;
  StepResult compute(const TrainingBatch& batch);
  Tensor backward(const TrainingBatch& batch);
  Tensor norm_of_gradient() const;
  void start_recording();
  void update(const StepResult& result);
  void note(const StepResult& result);
  [[noreturn]] void fail_non_finite(int64_t step) const;

  TrainOptions options_;
  OptimizerOptions optimizer_options_;
  EmaOptions ema_options_;
  Objective objective_;
  Model& student_;
  Model* target_;
  std::vector<Tensor> target_parameters_;
  std::vector<Tensor> averaged_;               // the student's parameters
  ParameterShards shards_;                     // of what is trained: the student's, then what the loss learns
  std::vector<Tensor> unit_weights_;           // of these, those that every step normalises
  std::unique_ptr<GradientSum> gradient_sum_;  // null in a world of one
  Optimizer optimizer_;
  EmaSet averages_;
  std::optional<LossScale> loss_scale_;
  std::unique_ptr<RecordedStep> recorded_;  // null where steps run as they are
  int64_t step_ = 0;
  // On the device, of one element each.
  Tensor lr_;              // fp64
  Tensor target_decay_;    // fp64
  Tensor skipped_;         // int64
  Tensor first_bad_step_;  // int64, −1 while all was finite
};

}  // namespace cm
