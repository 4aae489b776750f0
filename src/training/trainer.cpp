#include "cm/training/trainer.h"

#include <ATen/record_function.h>

#include <limits>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/kernels/device_graph.h"
#include "cm/nn/magnitude_preserving.h"
#include "draws.h"

namespace cm {
namespace {

void append(std::vector<Tensor>& tensors, const std::vector<Tensor>& more) {
  tensors.insert(tensors.end(), more.begin(), more.end());
}

std::vector<Tensor> with_learned(std::vector<Tensor> parameters, const Objective& objective) {
  if (objective.learned) {
    for (auto& parameter : objective.learned->parameters()) parameters.push_back(std::move(parameter));
  }
  return parameters;
}

// Samples first … first + count − 1 of a batch and its draws.
TrainingBatch part_of(const TrainingBatch& batch, int64_t first, int64_t count) {
  const auto rows = [&](const Tensor& tensor) { return rows_of(tensor, first, count); };
  TrainingBatch part{.x = rows(batch.x), .labels = rows(batch.labels), .step = batch.step, .samples = {}};
  const auto begin = batch.samples.begin() + first;
  part.samples.assign(begin, begin + count);
  part.draws = Draws{rows(batch.draws->noise), {}, rows(batch.draws->dropout_keys)};
  for (const Tensor& level : batch.draws->levels) part.draws->levels.push_back(rows(level));
  return part;
}

// Why the steps cannot be recorded on the device, if so.
std::optional<std::string> obstacle_to_recording(const torch::Device& device, const World& world) {
  if (auto obstacle = DeviceGraph::obstacle(device)) return obstacle;
  if (world.size() > 1) return concat(world.size(), " processes sum their gradients");
  return std::nullopt;
}

// Whose weights a step normalises before it uses them: the student's, then what the loss learns.
std::vector<Tensor> weights_of_unit_magnitude(const Model& student, const Objective& objective) {
  std::vector<Tensor> weights = magnitude_preserving_weights(student.network());
  if (objective.learned) append(weights, magnitude_preserving_weights(*objective.learned));
  return weights;
}

std::unique_ptr<GradientSum> gradient_sum(const ParameterShards& shards) {
  return shards.world().size() > 1 ? std::make_unique<GradientSum>(shards) : nullptr;
}

// What a weight file holds of it.
std::vector<Tensor> state_of(const torch::nn::Module& module) {
  std::vector<Tensor> tensors = module.parameters();
  append(tensors, module.buffers());
  return tensors;
}

}  // namespace

void validate(const TrainOptions& options, const Complain& complain) {
  if (options.micro_batch_size && options.batch_size % *options.micro_batch_size != 0) {
    complain("micro_batch_size",
             concat("must divide batch_size (", options.batch_size, "), got ", *options.micro_batch_size));
  }
}

int64_t rank_batch_size(const TrainOptions& options, const World& world) {
  if (options.batch_size % world.size() != 0) {
    throw InputError(concat("train.batch_size is ", options.batch_size, ", which ", world.size(),
                            " processes can't share; use a multiple of ", world.size()));
  }
  const int64_t size = options.batch_size / world.size();
  if (options.micro_batch_size && size > *options.micro_batch_size && size % *options.micro_batch_size != 0) {
    throw InputError(concat("train.micro_batch_size must divide what each of ", world.size(),
                            " processes has of the batch (", size, "), got ", *options.micro_batch_size));
  }
  return size;
}

void check_groups(const TrainOptions& options, const World& world, int64_t group) {
  const int64_t size = rank_batch_size(options, world);
  const int64_t part = std::min(size, options.micro_batch_size.value_or(size));
  if (part % group == 0) return;
  throw InputError(concat(options.micro_batch_size ? "train.micro_batch_size" : "train.batch_size",
                          ": the objective compares groups of ", group, " samples, and ", part,
                          " at a time are no whole groups; use a multiple of ",
                          group * (options.micro_batch_size ? 1 : world.size())));
}

Trainer::Trainer(const TrainOptions& options, const OptimizerOptions& optimizer_options,
                 const EmaOptions& ema_options, Objective objective, Model& student, Model* target,
                 World world)
    : options_(options),
      optimizer_options_(optimizer_options),
      ema_options_(ema_options),
      objective_(std::move(objective)),
      student_(student),
      target_(target),
      target_parameters_(target == nullptr ? std::vector<Tensor>() : target->parameters()),
      averaged_(student.parameters()),
      shards_(std::move(world), with_learned(averaged_, objective_), options.shard),
      unit_weights_(weights_of_unit_magnitude(student, objective_)),
      gradient_sum_(gradient_sum(shards_)),
      optimizer_(optimizer_options, shards_.own()),
      averages_(ema_options, shards_.own_of(averaged_.size())),
      loss_scale_(options.dtype == ComputeType::fp16 ? std::optional<LossScale>(student.device())
                                                     : std::nullopt),
      lr_(number_on(student.device(), torch::kFloat64, 0)),
      target_decay_(number_on(student.device(), torch::kFloat64, 0)),
      skipped_(number_on(student.device(), torch::kInt64, 0)),
      first_bad_step_(number_on(student.device(), torch::kInt64, -1)) {
  rank_batch_size(options, this->world());
  if (options.cuda_graph) start_recording();
}

void Trainer::start_recording() {
  if (const auto obstacle = obstacle_to_recording(student_.device(), world())) {
    log_warning(concat("train.cuda_graph: steps run as they are: ", *obstacle));
    return;
  }
  recorded_ = std::make_unique<RecordedStep>(student_.device(),
                                             [this](const TrainingBatch& batch) { return compute(batch); });
}

StepResult Trainer::step(const Batch& batch) {
  if (begins_stage(step_)) begin_stage();
  lr_.fill_(lr());
  target_decay_.fill_(objective_.curriculum(step_).decay.value_or(0));
  averages_.begin_update(step_ - stage_of(step_).first);
  if (recorded_ && step_ > 0 && objective_.form(step_) != objective_.form(step_ - 1)) start_recording();
  const TrainingBatch whole = drawn(batch);
  const StepResult result = recorded_ ? recorded_->run(whole) : compute(whole);
  note(result);
  ++step_;
  return result;
}

// All that a step does on the device, from its draws on.
StepResult Trainer::compute(const TrainingBatch& batch) {
  RECORD_FUNCTION("cm::training_step", at::ArrayRef<const at::IValue>());  // for profilers
  StepResult result;
  normalize_weights(unit_weights_);
  result.loss = backward(batch);
  result.gradient_norm = norm_of_gradient();
  if (loss_scale_) result.gradient_norm = result.gradient_norm / loss_scale_->value();
  result.usable = torch::isfinite(result.loss) & torch::isfinite(result.gradient_norm);
  result.bad = result.usable.logical_not();
  if (loss_scale_) result.bad = result.bad & loss_scale_->may_be_too_large().logical_not();
  update(result);
  return result;
}

ModelOptions Trainer::weight_options() const {
  ModelOptions options = student_.options();
  if (objective_.stages) options.distilled_steps = stage_of(last_step()).sampler_steps;
  return options;
}

void Trainer::begin_stage() {
  *objective_.stages->teacher = student_.frozen_copy(weight_options());
  optimizer_ = Optimizer(optimizer_options_, shards_.own());
  averages_ = EmaSet(ema_options_, shards_.own_of(averaged_.size()));
  if (recorded_) start_recording();  // the old recording writes to the old state
}

void Trainer::share_state() {
  if (world().size() == 1) return;
  const torch::NoGradGuard guard;
  std::vector<Tensor> state = state_of(student_.network());
  if (target_ != nullptr) append(state, state_of(target_->network()));
  if (const Model* teacher = stage_teacher()) append(state, state_of(teacher->network()));
  if (learned() != nullptr) append(state, state_of(*learned()));
  if (shards_.shard() == Shard::none) {
    for (size_t i = 0; i < averages_.states().size(); ++i) append(state, averages_.average(i));
    append(state, optimizer_.first_moments());
    append(state, optimizer_.second_moments());
  }
  world().broadcast(state);
}

// This rank's part of the batch on the device, with its draws.
TrainingBatch Trainer::drawn(const Batch& batch) const {
  const torch::Device device = student_.device();
  const int64_t size = batch.x.size(0);
  TrainingBatch whole;
  whole.x = batch.x.to(device, /*non_blocking=*/true);
  whole.step = step_;
  whole.samples = sample_range(world().rank() * size, size);
  if (student_.options().image.classes > 0) {
    whole.labels = batch.labels.to(device, /*non_blocking=*/true);
    // Here, so that student, target and teacher see the same class or none.
    whole.labels = drop_labels(options_.label_dropout, static_cast<uint64_t>(options_.seed), whole);
  }
  if (batch.x_T.defined()) whole.x_T = batch.x_T.to(device, /*non_blocking=*/true);
  whole.draws = objective_.draw(whole);
  return whole;
}

// The mean loss; leaves its gradient in the parameters. Micro-batches add up to the gradient of this rank's
// part, and these to the gradient of the whole batch.
Tensor Trainer::backward(const TrainingBatch& batch) {
  const int64_t size = batch.x.size(0);
  const int64_t micro = std::min(size, options_.micro_batch_size.value_or(size));
  const int64_t whole_size = world().size() * size;
  Tensor total = torch::zeros({}, torch::TensorOptions(torch::kFloat32).device(student_.device()));
  std::optional<Pending> sum_of_losses;
  for (int64_t first = 0; first < size; first += micro) {
    const int64_t count = std::min(micro, size - first);
    const Tensor losses = objective_.losses(part_of(batch, first, count));
    const Tensor loss = losses.sum() / static_cast<double>(whole_size);
    total += loss.detach();
    const bool is_last = first + count == size;
    if (is_last) sum_of_losses = world().begin_all_reduce_sum(total);
    if (gradient_sum_) gradient_sum_->begin(is_last);
    (loss_scale_ ? loss * loss_scale_->value() : loss).backward();
  }
  if (gradient_sum_) gradient_sum_->finish();
  sum_of_losses->wait();
  return total;
}

// Of all ranks together.
Tensor Trainer::norm_of_gradient() const {
  const Tensor norm = gradient_norm(shards_.own());
  if (shards_.shard() == Shard::none) return norm;
  const Tensor square = norm.to(torch::kFloat64).square();
  world().all_reduce_sum(square);
  return square.sqrt().to(norm.scalar_type());
}

// Everything that a step writes, unless it is not usable.
void Trainer::update(const StepResult& result) {
  const auto& clip = optimizer_options_.clip_norm;
  Tensor factor = clip ? clip_factor(result.gradient_norm, *clip) : torch::ones_like(lr_);
  if (loss_scale_) factor = factor / loss_scale_->value();
  optimizer_.step(lr_, factor, result.usable);
  std::vector<MovingAverage> target;
  if (target_ != nullptr && objective_.curriculum(step_).decay) {
    target.push_back({target_parameters_, target_decay_});
  }
  if (shards_.shard() == Shard::none) {
    averages_.update(std::move(target), result.usable);
  } else {
    Pending gathered = shards_.begin_gather();
    averages_.update({}, result.usable);
    gathered.wait();
    if (!target.empty()) update_averages(target, averaged_, result.usable);
  }
  if (loss_scale_) loss_scale_->update(result.usable);
  optimizer_.zero_grad();
}

// A bad step is only noted, so that the host need not wait for a GPU; the CPU has nothing to wait for.
void Trainer::note(const StepResult& result) {
  skipped_.add_(result.usable.logical_not());
  if (options_.on_non_finite == OnNonFinite::skip) return;
  first_bad_step_.copy_(torch::where(result.bad & (first_bad_step_ < 0), step_, first_bad_step_));
  if (result.bad.is_cpu()) check_finite();
}

void Trainer::check_finite() {
  const auto bad = first_bad_step_.item<int64_t>();
  if (bad >= 0) fail_non_finite(bad);
}

void Trainer::fail_non_finite(int64_t step) const {
  const Tensor sigmas = objective_.sigmas(step, sample_range(0, options_.batch_size));
  throw Error(
      concat("the loss or its gradient is not finite in step ", step + 1, " (σ between ",
             sigmas.min().item<double>(), " and ", sigmas.max().item<double>(),
             "); lower optimizer.lr, set optimizer.clip_norm, or train on with train.on_non_finite=skip"));
}

}  // namespace cm
