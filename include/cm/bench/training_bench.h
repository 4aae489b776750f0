// A training run whose steps are to be timed: random weights and images, everything else as the cm-train
// executables bind it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "cm/bench/bench_case.h"
#include "cm/run/run_config.h"
#include "cm/training/run_log.h"
#include "cm/training/trainer.h"

namespace cm {

// A model whose weights are random in all layers, those included that training starts at zero: zeros would
// make some of the work disappear.
Model random_model(const ModelOptions& options, const torch::Device& device, uint64_t seed);

class TrainingBench {
 public:
  static constexpr int64_t kBatches = 4;  // made beforehand and taken in turns

  // `objective` with its section's defaults: cd with Heun's solver. Of several ranks each has the case's
  // batch.
  TrainingBench(const BenchCase& bench_case, ObjectiveKind objective, const torch::Device& device,
                const World& world = World(), Shard shard = Shard::none);
  ~TrainingBench();
  TrainingBench(const TrainingBench&) = delete;
  TrainingBench& operator=(const TrainingBench&) = delete;

  // The whole of a training step: from a batch in host memory through loss, backward pass, gradient norm,
  // optimizer, target and evaluation averages to a line of the log.
  void step();

  const Model& student() const { return student_; }
  // Of the last step.
  double loss() const { return loss_; }
  // Trainer::steps_played.
  int64_t steps_played() const { return trainer_->steps_played(); }

 private:
  RunConfig config_;
  Model student_;
  std::optional<Model> target_;
  std::optional<Model> start_;
  std::optional<Model> teacher_;
  std::vector<Batch> batches_;
  std::unique_ptr<Trainer> trainer_;
  std::filesystem::path folder_;
  std::unique_ptr<RunLog> log_;
  double loss_ = 0;
};

}  // namespace cm
