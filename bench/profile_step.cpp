// Where a training step's time goes: the network (draws, forward and backward passes) against the loop around
// it (data, gradient norm, optimizer, target and evaluation averages, logging). Prints medians over the
// steps.
//
//   build/bin/cm-profile-step --config configs/digits/edm.yaml [--steps 100] [key=value …]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>

#include "cm/base/random.h"
#include "cm/config/command_line.h"
#include "cm/config/training_run.h"
#include "cm/config/yaml_reader.h"
#include "cm/training/run_log.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  int64_t steps = 100;
  cm::CommonOptions common;
};

// Milliseconds of every call of one part of the step.
class Part {
 public:
  explicit Part(std::string name) : name_(std::move(name)) {}

  template <class Body>
  void time(const torch::Device& device, Body&& body) {
    const auto start = Clock::now();
    body();
    if (device.is_cuda()) at::zeros({1}, device).item<float>();  // waits for what was queued
    milliseconds_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }

  double median() const {
    std::vector<double> sorted = milliseconds_;
    std::ranges::sort(sorted);
    return sorted.at(sorted.size() / 2);
  }

  void print(double whole) const {
    std::cout << std::left << std::setw(34) << name_ << std::right << std::fixed << std::setprecision(2)
              << std::setw(10) << median() << " ms" << std::setw(8) << std::setprecision(1)
              << 100 * median() / whole << " %\n";
  }

 private:
  std::string name_;
  std::vector<double> milliseconds_;
};

cm::TrainingBatch on_device(const cm::Batch& batch, const cm::Model& student, int64_t step) {
  cm::TrainingBatch part;
  part.x = batch.x.to(student.device());
  if (student.options().image.classes > 0) part.labels = batch.labels.to(student.device());
  part.step = step;
  part.samples = cm::sample_range(0, batch.x.size(0));
  return part;
}

int profile(const Arguments& arguments) {
  const auto config = cm::read_config<cm::RunConfig>(cm::load_yaml(arguments.config), arguments.overrides);
  const torch::Device device = cm::parse_device(arguments.common.device);
  cm::TrainingRun run(config, device);
  cm::Trainer& trainer = run.trainer();
  cm::Loader loader(run.dataset(), {.batch_size = config.train.batch_size, .workers = config.data.workers});
  const auto folder = std::filesystem::temp_directory_path() / "cm-profile-step";
  std::filesystem::create_directories(folder);
  cm::RunLog log(folder, 0);

  Part step("whole step");
  Part network("network: draws, forward, backward");
  Part data("waiting for data");
  Part optimizer("gradient norm and optimizer");
  Part averages("averages");
  Part logging("one line of the log");
  const std::vector<cm::Tensor> parameters = run.student().parameters();
  for (int64_t i = -3; i < arguments.steps; ++i) {
    cm::Batch batch = loader.next();
    if (i < 0) {  // warm-up
      trainer.step(batch);
      continue;
    }
    step.time(device, [&] {
      data.time(device, [&] { batch = loader.next(); });
      trainer.step(batch);
    });
    network.time(device,
                 [&] { run.objective().losses(on_device(batch, run.student(), i)).mean().backward(); });
    optimizer.time(device, [&] {
      cm::gradient_norm(parameters);
      trainer.optimizer().step(trainer.lr());
    });
    trainer.optimizer().zero_grad();
    averages.time(device, [&] { trainer.averages().update(); });
    logging.time(device, [&] { log.metrics({{"step", i}, {"loss", 1.0}}); });
  }
  std::filesystem::remove_all(folder);
  const double whole = step.median();
  for (const Part* part : {&step, &network, &data, &optimizer, &averages, &logging}) part->print(whole);
  std::cout << "the loop around the network: " << std::setprecision(1)
            << 100 * (whole - network.median()) / whole << " % of a step\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows where a training step's time goes.", "cm-profile-step");
  Arguments arguments;
  app.add_option("--config", arguments.config, "the run's configuration")->required();
  app.add_option("overrides", arguments.overrides, "settings over the file's");
  app.add_option("--steps", arguments.steps, "steps to measure")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  cm::add_common_options(app, arguments.common);
  return cm::run_command(app, argc, argv, [&] { return profile(arguments); });
}
