#include "truth_run.h"

#include <algorithm>
#include <chrono>

#include "cm/diffusion/sampler.h"
#include "cm/kernels/normal.h"
#include "cm/nn/perceptron.h"
#include "cm/run/run_config.h"
#include "cm/training/formula_model.h"
#include "cm/training/trainer.h"

namespace cm::truths {
namespace {

using Clock = std::chrono::steady_clock;

constexpr ImageSpec kPoints{.channels = 2, .size = 1, .classes = 0};
// The walk that makes a consistency function of a diffusion model, and pairs.
constexpr int64_t kWalkLevels = 17;

// The solver's walk down a Karras grid of n levels from (x, σ) to ε; all σ of a batch are equal.
Denoiser walk_of(Solver solver, const Denoiser& denoiser, const SigmaOptions& range, int64_t n) {
  return [=](const Tensor& x, const Tensor& sigma) {
    SigmaOptions part = range;
    part.max = sigma[0].item<double>();
    auto levels = karras_sigmas(part, n);
    std::ranges::reverse(levels);
    return sample_ode(solver, denoiser, x, levels);
  };
}

// Walks of the exact denoiser.
Batch pairs_of(const RunConfig& config, int64_t step) {
  const RandomKey key{.seed = static_cast<uint64_t>(config.train.seed),
                      .purpose = Purpose::sampling_start,
                      .step = static_cast<uint32_t>(step)};
  const double sigma = config.sigma.max;
  const Tensor x_T = sigma * normal(key, sample_range(0, config.train.batch_size), {2, 1, 1});
  const Denoiser walk = walk_of(Solver::heun, denoiser_of(mixture()), config.sigma, kWalkLevels);
  return {walk(x_T, torch::full({x_T.size(0)}, sigma)), {}, x_T};
}

Batch batch_of(const RunConfig& config, int64_t step) {
  if (method_of(config).takes_pairs) return pairs_of(config, step);
  const Tensor points = draw(mixture(), 0, static_cast<uint64_t>(config.train.seed),
                             static_cast<uint32_t>(step), sample_range(0, config.train.batch_size));
  return {points.to(torch::kFloat32).view({-1, 2, 1, 1}), {}};
}

ModelOptions options_of(const RunConfig& config, Parameterization parameterization) {
  ModelOptions options;
  options.image = kPoints;
  options.parameterization = parameterization;
  options.sigma = config.sigma;
  return options;
}

Model perceptron_model(const RunConfig& config, std::optional<uint64_t> seed) {
  const PerceptronOptions network{.second_time = is_flow_map(parameterization_of(config))};
  const NetworkMaker maker = [network](std::optional<uint64_t> weights) {
    return std::make_shared<Perceptron>(network, kPoints, weights);
  };
  return {options_of(config, parameterization_of(config)), torch::kCPU, maker, seed};
}

double rms_at_start(const Denoiser& f, const Reference& reference) {
  const Tensor& x = reference.points.front();
  const Tensor sigma = torch::full({x.size(0)}, reference.levels.front());
  return root_mean_square(no_grad([&] { return f(x, sigma); }), reference.ends);
}

// What the student has learned to compute: f itself, or a sampler's walk by its denoiser.
Denoiser learned_function(const Model& student, const RunConfig& config, int64_t pd_steps) {
  if (!is_diffusion(student.options().parameterization)) return student.denoiser();
  if (method_of(config).has_stages) {
    return walk_of(Solver::euler, student.denoiser(), config.sigma, pd_steps + 1);
  }
  return walk_of(Solver::heun, student.denoiser(), config.sigma, kWalkLevels);
}

int64_t pd_steps_at(const RunConfig& config, int64_t step) {
  const auto& pd = config.section<PdOptions>();
  return pd ? pd_stage(*pd, step, config.train.steps).sampler_steps : 0;
}

// The walk whose end the method learns, by the exact denoiser: what it cannot do better than.
Json grid_rms(const RunConfig& config, const Reference& reference) {
  const auto error = [&](Solver solver, int64_t n) {
    return rms_at_start(walk_of(solver, denoiser_of(reference.data), config.sigma, n), reference);
  };
  if (const auto& cd = config.section<CdOptions>()) return error(cd->solver, cd->n);
  if (const auto& pd = config.section<PdOptions>()) return error(Solver::euler, 2 * pd->start_steps + 1);
  const bool walks = config.objective == kObjective<EdmOptions> || method_of(config).takes_pairs;
  if (walks) return error(Solver::heun, kWalkLevels);
  return nullptr;
}

}  // namespace

Study::Study(std::vector<Case> cases, Reference reference)
    : cases_(std::move(cases)), reference_(std::move(reference)) {}

const Study::Trained& Study::trained(const Case& one) {
  if (!trained_.contains(one.name)) trained_.emplace(one.name, train(one));
  return trained_.at(one.name);
}

Model Study::student_of(const Case& one) {
  if (one.start.empty()) return perceptron_model(one.config, static_cast<uint64_t>(one.config.train.seed));
  const auto start = std::ranges::find(cases_, one.start, &Case::name);
  TORCH_CHECK(start != cases_.end(), one.name, " starts from ", one.start, ", which is no case");
  Model student = perceptron_model(one.config, std::nullopt);
  copy_weights(trained(*start).student.network(), student.network(), "start");
  return student;
}

Study::Trained Study::train(const Case& one) {
  const RunConfig& config = one.config;
  Trained result{.student = student_of(one)};
  Model& student = result.student;
  Model target = student.frozen_copy(student.options());
  const Model start = student.frozen_copy(student.options());
  Model teacher =
      formula_model(denoiser_of(reference_.data), options_of(config, Parameterization::edm), torch::kCPU);
  const Objective objective =
      objective_of(config, {.student = student, .target = &target, .teacher = &teacher, .start = &start});
  Trainer trainer(config.train, config.optimizer, config.ema, objective, student,
                  method_of(config).has_target ? &target : nullptr);
  const auto error_after = [&](int64_t step) {
    return rms_at_start(learned_function(student, config, pd_steps_at(config, step)), reference_);
  };
  result.untrained_rms = error_after(0);
  const bool has_stages = method_of(config).has_stages;
  const auto begun = Clock::now();
  while (trainer.steps_done() < config.train.steps) {
    const int64_t step = trainer.steps_done();
    trainer.step(batch_of(config, step));
    const bool ends_stage = step + 1 == config.train.steps || trainer.begins_stage(step + 1);
    if (has_stages && ends_stage) {
      if (result.stages.is_null()) result.stages = Json::array();
      result.stages.push_back({{"n", pd_steps_at(config, step)}, {"rms", error_after(step)}});
    }
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  return result;
}

Json Study::row(const Case& one) {
  const auto& [student, seconds, untrained_rms, stages] = trained(one);
  const Denoiser f =
      learned_function(student, one.config, pd_steps_at(one.config, one.config.train.steps - 1));
  Json row = {{"name", one.name},
              {"settings", settings_of(one)},
              {"seconds", seconds},
              {"untrained_rms", untrained_rms},
              {"grid_rms", grid_rms(one.config, reference_)}};
  const Method method = method_of(one.config);
  row.update(measure(f, reference_, /*at_every_level=*/!method.has_stages && !method.takes_pairs));
  const bool is_map = is_flow_map(student.options().parameterization);
  row["map"] = is_map ? measure_map(student.flow_map(), reference_) : Json(nullptr);
  row["stages"] = stages;
  return row;
}

}  // namespace cm::truths
