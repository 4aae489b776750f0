#include "cm/cli/edit_walk.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/diffusion/editing.h"
#include "cm/training/guided_model.h"
#include "cm/training/replay.h"

namespace cm {
namespace {

constexpr int64_t kMostEvaluations = 40;
constexpr int64_t kDefaultGrid = 40;

void check_level(double sigma, const SigmaOptions& range) {
  if (sigma > range.min && sigma <= range.max) return;
  throw InputError(concat("--sigma must lie in (", range.min, ", ", range.max, "], got ", sigma));
}

// Every k-th index of the model's grid, and its end: at most kMostEvaluations evaluations.
SamplerRequest whole_grid(const ModelOptions& model) {
  const int64_t grid = model.sampling.grid.value_or(kDefaultGrid);
  const int64_t stride = (grid - 2) / kMostEvaluations + 1;
  SamplerRequest request{.kind = SamplerKind::multistep, .grid = grid};
  for (int64_t i = 0; i < grid - 1; i += stride) request.indices.push_back(i);
  request.indices.push_back(grid - 1);
  return request;
}

SamplerOptions constrained_walk(const EditOptions& options, const ModelOptions& model) {
  if (is_diffusion(model.parameterization)) {
    throw InputError(concat(to_string(options.task),
                            " needs a consistency model, and this checkpoint is a diffusion model (",
                            to_string(model.parameterization),
                            "); distill it with cm-train-cd, or use it with stroke, denoise or interpolate"));
  }
  if (!options.steps && options.sigmas.empty()) return choose_sampler(whole_grid(model), model);
  return choose_sampler({.kind = SamplerKind::multistep, .steps = options.steps, .sigmas = options.sigmas},
                        model);
}

// The model's sampler, from the level --sigma instead of σ_max.
SamplerOptions walk_from_level(const EditOptions& options, const ModelOptions& model) {
  SamplerRequest request{.steps = options.steps, .sigmas = options.sigmas};
  const double level = options.sigma.value_or(options.sigmas.empty() ? 0 : options.sigmas.front());
  check_level(level, model.sigma);
  ModelOptions from_level = model;
  from_level.sigma.max = level;
  from_level.sampling.sigmas.clear();
  if (!request.sigmas.empty() && request.sigmas.front() != level) {
    request.sigmas.insert(request.sigmas.begin(), level);
  }
  return choose_sampler(request, from_level);
}

// Draws on the great arc between two samples': x_T, and the noise of every step.
BatchDraws draws_between(const SampleNoise& a, const SampleNoise& b, int64_t count) {
  std::vector<double> fractions;
  for (int64_t i = 0; i < count; ++i) {
    fractions.push_back(count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1));
  }
  return [=](int64_t first, int64_t n) {
    const std::vector<double> part(fractions.begin() + first, fractions.begin() + first + n);
    return SampleNoise{spherical_interpolation(a.x_T[0], b.x_T[0], part), [=](int64_t step) {
                         return spherical_interpolation(a.noise(step)[0], b.noise(step)[0], part);
                       }};
  };
}

SamplerOptions walk_of_task(const EditOptions& options, const ModelOptions& model) {
  switch (options.task) {
    case EditTask::inpaint:
    case EditTask::colorize:
    case EditTask::superres:
      return constrained_walk(options, model);
    case EditTask::stroke:
      return walk_from_level(options, model);
    case EditTask::denoise:
      check_level(*options.sigma, model.sigma);
      return {.kind = SamplerKind::onestep, .sigmas = {*options.sigma}, .churn = {}};
    case EditTask::interpolate:
      return choose_sampler({.steps = options.steps, .sigmas = options.sigmas}, model);
  }
  TORCH_INTERNAL_ASSERT(false, "not a task");
}

}  // namespace

SamplerOptions edit_walk(const EditOptions& options, const ModelOptions& model) {
  check_guidance(model, options.guidance, concat("--guidance ", options.guidance));
  SamplerOptions walk = walk_of_task(options, model);
  walk.guidance = options.guidance;
  return walk;
}

BatchDraws edit_draws(const EditOptions& options, const ModelOptions& model, const SamplerOptions& walk,
                      int64_t count) {
  const bool between = options.task == EditTask::interpolate;
  if (options.noise) {
    const Replay replay(*options.noise, model.image, between ? 2 : count);
    if (between) return draws_between(replay.batch(0, 1), replay.batch(1, 1), count);
    return [=](int64_t first, int64_t n) { return replay.batch(first, n); };
  }
  const auto seeded = [=](uint64_t seed, int64_t first, int64_t n) {
    return seeded_noise(model, walk, seed, first, n);
  };
  if (between) return draws_between(seeded(options.seeds[0], 0, 1), seeded(options.seeds[1], 0, 1), count);
  const uint64_t seed = options.common.seed.value_or(0);
  return [=](int64_t first, int64_t n) { return seeded(seed, first, n); };
}

}  // namespace cm
