#include "cm/training/edit.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/training/guided_model.h"
#include "cm/training/replay.h"

namespace cm {
namespace {

constexpr int64_t kMostEvaluations = 40;

void check_level(double sigma, const SigmaOptions& range) {
  if (sigma > range.min && sigma <= range.max) return;
  throw InputError(concat("--sigma must lie in (", range.min, ", ", range.max, "], got ", sigma));
}

// Every k-th index of the model's grid, and its end, or equal parts of a flow map's path: at most
// kMostEvaluations evaluations.
SamplerRequest whole_grid(const ModelOptions& model) {
  if (is_flow_map(model.parameterization)) return {.kind = SamplerKind::multistep, .steps = kMostEvaluations};
  const int64_t grid = grid_levels(model);
  const int64_t stride = (grid - 2) / kMostEvaluations + 1;
  SamplerRequest request{.kind = SamplerKind::multistep, .grid = grid};
  for (int64_t i = 0; i < grid - 1; i += stride) request.indices.push_back(i);
  request.indices.push_back(grid - 1);
  return request;
}

SamplerOptions constrained_walk(const EditRequest& request, const ModelOptions& model) {
  if (is_diffusion(model.parameterization)) {
    throw InputError(concat(to_string(request.task),
                            " needs a consistency model, and this checkpoint is a diffusion model (",
                            to_string(model.parameterization),
                            "); distill it with cm-train-cd, or use it with stroke, denoise or interpolate"));
  }
  if (!request.steps && request.sigmas.empty()) return choose_sampler(whole_grid(model), model);
  return choose_sampler({.kind = SamplerKind::multistep, .steps = request.steps, .sigmas = request.sigmas},
                        model);
}

// The model's sampler, from the level --sigma instead of σ_max.
SamplerOptions walk_from_level(const EditRequest& request, const ModelOptions& model) {
  SamplerRequest asked{
      .kind = request.sampler, .steps = request.steps, .sigmas = request.sigmas, .from_top = false};
  const double level = request.sigma.value_or(request.sigmas.empty() ? 0 : request.sigmas.front());
  check_level(level, model.sigma);
  ModelOptions from_level = model;
  from_level.sigma.max = level;
  from_level.sampling.sigmas.clear();
  if (!asked.sigmas.empty() && asked.sigmas.front() != level)
    asked.sigmas.insert(asked.sigmas.begin(), level);
  return choose_sampler(asked, from_level);
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

// Of latents no part is a picture's pixel, and the noise of a picture is not theirs.
void check_space(const EditRequest& request, const ModelOptions& model) {
  if (!model.latents) return;
  switch (request.task) {
    case EditTask::inpaint:
    case EditTask::colorize:
    case EditTask::superres:
      throw InputError(
          concat(to_string(request.task),
                 " keeps a part of a picture's pixels, and this checkpoint is a model of latents, "
                 "which have none; use it with stroke or interpolate, or a model of pixels"));
    case EditTask::denoise:
      if (request.add_noise || request.noise) return;
      throw InputError(
          "denoise takes noise from a picture's pixels, and this checkpoint is a model of latents, whose "
          "noise is another; let --add-noise put it into the latents, or use a model of pixels");
    case EditTask::stroke:
    case EditTask::interpolate:
      return;
  }
}

SamplerOptions walk_of_task(const EditRequest& request, const ModelOptions& model) {
  switch (request.task) {
    case EditTask::inpaint:
    case EditTask::colorize:
    case EditTask::superres:
      return constrained_walk(request, model);
    case EditTask::stroke:
      return walk_from_level(request, model);
    case EditTask::denoise:
      check_level(*request.sigma, model.sigma);
      return one_step(model, *request.sigma);
    case EditTask::interpolate:
      return choose_sampler({.kind = request.sampler, .steps = request.steps, .sigmas = request.sigmas},
                            model);
  }
  TORCH_INTERNAL_ASSERT(false, "not a task");
}

}  // namespace

SamplerOptions edit_walk(const EditRequest& request, const ModelOptions& model) {
  check_space(request, model);
  SamplerOptions walk = walk_of_task(request, model);
  walk.guidance = request.guidance;
  walk.guide = guide_for(model, request.guidance, request.guide);
  return walk;
}

BatchDraws edit_draws(const EditRequest& request, const ModelOptions& model, const SamplerOptions& walk,
                      uint64_t seed, int64_t count) {
  const bool between = request.task == EditTask::interpolate;
  if (request.noise) {
    const Replay replay(*request.noise, model.image, between ? 2 : count);
    if (between) return draws_between(replay.batch(0, 1), replay.batch(1, 1), count);
    return [=](int64_t first, int64_t n) { return replay.batch(first, n); };
  }
  const auto seeded = [=](uint64_t from, int64_t first, int64_t n) {
    return seeded_noise(model, walk, from, first, n);
  };
  if (between) return draws_between(seeded(request.seeds[0], 0, 1), seeded(request.seeds[1], 0, 1), count);
  return [=](int64_t first, int64_t n) { return seeded(seed, first, n); };
}

EditPictures EditPictures::rows(int64_t first, int64_t n) const {
  return {rows_of(reference, first, n), rows_of(known, first, n), rows_of(labels, first, n)};
}

std::optional<Constraint> constraint_of(const EditRequest& request, const EditPictures& pictures) {
  switch (request.task) {
    case EditTask::inpaint:
      return known_pixels(pictures.reference, pictures.known);
    case EditTask::colorize:
      return known_luma(pictures.reference);
    case EditTask::superres:
      return known_patch_means(pictures.reference, *request.factor);
    case EditTask::stroke:
    case EditTask::denoise:
    case EditTask::interpolate:
      return std::nullopt;
  }
  TORCH_INTERNAL_ASSERT(false, "not a task");
}

Tensor edit_start(const EditRequest& request, const EditPictures& pictures,
                  const std::optional<Constraint>& constraint, const Tensor& x_T) {
  if (request.noise || request.task == EditTask::interpolate) return x_T;
  if (constraint) return known_part(*constraint) + x_T;
  const bool noisy = request.task == EditTask::stroke || request.add_noise;
  return noisy ? pictures.reference + x_T : pictures.reference;
}

Tensor edit(const Model& model, const EditRequest& request, const SamplerOptions& sampler,
            const EditPictures& pictures, const SampleNoise& noise) {
  const torch::NoGradGuard guard;
  const torch::Device device = model.device();
  const auto there = [&](const Tensor& tensor) { return tensor.defined() ? tensor.to(device) : tensor; };
  const EditPictures on_device{there(pictures.reference), there(pictures.known), there(pictures.labels)};
  const Denoiser denoiser = guided_denoiser(model, on_device.labels, sampler.guidance, Levels::one);
  const auto constraint = constraint_of(request, on_device);
  const Tensor start = edit_start(request, on_device, constraint, there(noise.x_T));
  const NoiseSource draws = [&](int64_t step) { return noise.noise(step).to(device); };
  const double epsilon = walk_end(model.options());
  if (constraint) {
    return edit_multistep(clamped(denoiser), *constraint, start, sampler.sigmas, epsilon, draws);
  }
  return in_range_of(model.options(), walk(denoiser, sampler, {start, draws}, epsilon));
}

}  // namespace cm
