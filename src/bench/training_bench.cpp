#include "cm/bench/training_bench.h"

#include <unistd.h>

#include <atomic>

#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/kernels/normal.h"
#include "cm/run/run_config.h"

namespace cm {
namespace {

constexpr uint64_t kStudentSeed = 1;
constexpr uint64_t kTeacherSeed = 2;
// Standard deviation of weights that training starts at zero.
constexpr double kWeightScale = 0.02;

// As configs/imagenet64/edm2.yaml has it.
void train_as_edm2(RunConfig& config) {
  config.section<EdmOptions>() = EdmOptions{.uncertainty = true};
  config.optimizer.rule = OptimizerRule::adam;
  config.optimizer.betas = {0.9, 0.99};
  config.ema.rates = {};
  config.ema.power_stds = {0.05, 0.1};
}

// As configs/cifar10/mean_flow.yaml has it.
void train_as_mean_flow(RunConfig& config) {
  config.optimizer.rule = OptimizerRule::adam;
  config.ema.rates = {0.9999, 0.99995, 0.9996};
}

RunConfig config_of(const BenchCase& bench_case, ObjectiveKind objective) {
  RunConfig config;
  config.objective = objective;
  config.train.steps = bench_case.warmup + bench_case.steps;
  config.train.batch_size = bench_case.batch;
  config.train.dtype = bench_case.dtype;
  config.train.cuda_graph = bench_case.cuda_graph;
  if (bench_case.architecture == BenchArchitecture::edm2) train_as_edm2(config);
  if (bench_case.architecture == BenchArchitecture::meanflow) train_as_mean_flow(config);
  config.parameterization = parameterization_of(config);
  config.model = model_options_of(bench_case, *config.parameterization).network;
  return config;
}

// Images of random pixels, as a loader hands them over.
Batch random_batch(const ImageSpec& image, int64_t size, uint32_t step) {
  const auto samples = sample_range(0, size);
  const RandomKey key{.seed = 0, .purpose = Purpose::data_noise, .step = step};
  Batch batch;
  batch.x = from_uint8(to_uint8(normal(key, samples, {image.channels, image.size, image.size})));
  const double classes = static_cast<double>(std::max<int64_t>(1, image.classes));
  batch.labels =
      (uniform({.purpose = Purpose::data_component, .step = step}, samples) * classes).to(torch::kInt64);
  return batch;
}

std::filesystem::path folder_for_the_log() {
  static std::atomic<int> number = 0;  // ranks may be threads of one process
  const auto folder = std::filesystem::temp_directory_path() / concat("cm-bench-", getpid(), "-", number++);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

Model random_model(const ModelOptions& options, const torch::Device& device, uint64_t seed) {
  Model model(options, device, seed);
  uint32_t index = 0;
  for (auto& parameter : model.parameters()) {
    const RandomKey key{.seed = seed, .purpose = Purpose::initial_weights, .step = 1'000'000 + index++};
    no_grad([&] {
      if (parameter.count_nonzero().item<int64_t>() > 0) return;
      parameter.copy_(kWeightScale * normal(key, {0}, {parameter.numel()}).view(parameter.sizes()));
    });
  }
  return model;
}

TrainingBench::TrainingBench(const BenchCase& bench_case, ObjectiveKind objective,
                             const torch::Device& device, const World& world, Shard shard)
    : config_(config_of(bench_case, objective)),
      student_(random_model(model_options_of(bench_case, *config_.parameterization), device, kStudentSeed)),
      folder_(folder_for_the_log()),
      log_(std::make_unique<RunLog>(folder_, 0)) {
  config_.train.batch_size *= world.size();
  config_.train.shard = shard;
  const Method method = method_of(config_);
  if (method.has_target) target_ = student_.frozen_copy(student_.options());
  if (method.needs_teacher) {
    teacher_ = random_model(model_options_of(bench_case, Parameterization::edm), device, kTeacherSeed);
    teacher_->freeze();
  }
  if (method.keeps_start) start_ = student_.frozen_copy(student_.options());
  const Binding models{.student = student_,
                       .target = target_ ? &*target_ : nullptr,
                       .teacher = teacher_ ? &*teacher_ : nullptr,
                       .start = start_ ? &*start_ : nullptr};
  student_.compute_in(bench_case.dtype);
  if (target_) target_->compute_in(bench_case.dtype);
  if (teacher_) teacher_->hold_in(bench_case.dtype);
  if (start_) start_->hold_in(bench_case.dtype);
  trainer_ =
      std::make_unique<Trainer>(config_.train, config_.optimizer, config_.ema, objective_of(config_, models),
                                student_, target_ ? &*target_ : nullptr, world);
  for (int64_t i = 0; i < kBatches; ++i) {
    batches_.push_back(random_batch(student_.options().image, bench_case.batch, static_cast<uint32_t>(i)));
  }
}

TrainingBench::~TrainingBench() {
  log_.reset();
  std::error_code ignored;  // a folder that stays in /tmp is no reason to die
  std::filesystem::remove_all(folder_, ignored);
}

void TrainingBench::step() {
  const int64_t step = trainer_->steps_done();
  const StepResult result = trainer_->step(batches_[static_cast<size_t>(step % kBatches)]);
  trainer_->check_finite();
  loss_ = result.loss.item<double>();
  log_->metrics(
      {{"step", step + 1}, {"loss", loss_}, {"gradient_norm", result.gradient_norm.item<double>()}});
}

}  // namespace cm
