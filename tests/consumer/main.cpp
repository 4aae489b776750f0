// Trains a diffusion model of the digits, distills it into a consistency model, ten steps each, and samples
// that in one step:  consumer data/digits/digits.csv.gz
#include <iostream>

#include "cm/run/training_run.h"
#include "cm/training/sampling.h"
#include "cm/training/weight_file.h"

void train(const cm::RunConfig& config, const std::string& weights) {
  cm::TrainingRun run(config, torch::kCPU);
  cm::Loader loader(run.dataset(), {.batch_size = config.train.batch_size});
  cm::StepResult result;
  for (int64_t step = 0; step < config.train.steps; ++step) result = run.trainer().step(loader.next());
  std::cout << cm::to_string(config.objective) << ": loss " << result.loss.item<double>() << '\n';
  cm::save_weights(weights, run.student().options(), run.student().named_weights());
}

int main(int argc, char** argv) {
  if (argc != 2) return EXIT_FAILURE;
  cm::AdmOptions network;
  network.channels = 32;
  network.channel_mult = {1, 2};
  network.attention_resolutions = {4};
  cm::RunConfig config;
  config.data.path = argv[1];
  config.model = network;
  config.train.steps = 10;
  config.train.batch_size = 16;
  train(config, "teacher.safetensors");

  config.train_by(cm::CdOptions{.n = 18, .solver = cm::Solver::heun});
  config.teacher.checkpoint = "teacher.safetensors";
  train(config, "student.safetensors");

  const cm::Model model = cm::load_model("student.safetensors", torch::kCPU);
  const cm::SamplerOptions sampler = cm::choose_sampler({.steps = 1}, model.options());
  const cm::SampleNoise noise =
      cm::seeded_noise(model.options(), sampler, /*seed=*/0, /*first=*/0, /*count=*/10);
  std::cout << "samples " << cm::sample(model, sampler, noise, torch::arange(10)).sizes() << '\n';
}
