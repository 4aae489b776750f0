#include "cm/training/sampling.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/diffusion/ddpm_levels.h"
#include "cm/kernels/normal.h"
#include "cm/training/guided_model.h"

namespace cm {
namespace {

constexpr int64_t kDenoiserSteps = 18;
constexpr int64_t kConsistencyGrid = 40;

// The names of the samplers that satisfy `belongs`, "a, b and c" with this conjunction.
std::string samplers_that(bool (*belongs)(Sampler), std::string_view conjunction) {
  std::vector<std::string> names;
  for (const auto& [sampler, name] : EnumNames<Sampler>::names) {
    if (belongs(sampler)) names.emplace_back(name);
  }
  return enumerate(names, conjunction);
}

Sampler kind_for(const SamplerRequest& request, const ModelOptions& model) {
  const bool denoiser = is_diffusion(model.parameterization);
  if (!request.kind) {
    if (model.distilled_steps) return SamplerKind::progdist;
    if (denoiser) return Solver::heun;
    if (is_flow_map(model.parameterization)) return SamplerKind::flow_map;
    const bool walk = request.steps.value_or(1) != 1 || !request.sigmas.empty() || !request.indices.empty();
    return walk ? SamplerKind::multistep : SamplerKind::onestep;
  }
  if (is_consistency_sampler(*request.kind) && denoiser) {
    const auto of_any_denoiser = [](Sampler sampler) {
      return !is_consistency_sampler(sampler) && sampler != SamplerKind::progdist;
    };
    throw InputError(
        concat("the ", to_string(*request.kind),
               " sampler needs a consistency model, and this checkpoint is a diffusion model; use ",
               samplers_that(of_any_denoiser, "or"), ", or distill it first"));
  }
  if (!is_consistency_sampler(*request.kind) && !denoiser) {
    throw InputError(
        concat("the ", to_string(*request.kind),
               " sampler walks a diffusion model's ODE, and this checkpoint is a consistency model; use ",
               samplers_that(is_consistency_sampler, "or")));
  }
  if (request.kind == SamplerKind::flow_map && !is_flow_map(model.parameterization)) {
    throw InputError(
        concat("the flow_map sampler needs a flow map, a network of two times, and this checkpoint is a "
               "consistency model (",
               to_string(model.parameterization), "); use ",
               samplers_that(
                   [](Sampler sampler) {
                     return is_consistency_sampler(sampler) && sampler != SamplerKind::flow_map;
                   },
                   "or")));
  }
  return *request.kind;
}

void check_decreasing(const std::vector<double>& sigmas, const SigmaOptions& range) {
  for (size_t i = 0; i < sigmas.size(); ++i) {
    if (sigmas[i] > range.max * (1 + 1e-6) || sigmas[i] <= range.min) {
      throw InputError(concat("--sigmas must lie in (", range.min, ", ", range.max, "], got ", sigmas[i]));
    }
    if (i > 0 && sigmas[i] >= sigmas[i - 1]) {
      throw InputError(concat("--sigmas must decrease, got ", sigmas[i - 1], " before ", sigmas[i]));
    }
  }
}

std::vector<double> times_of_indices(const SamplerRequest& request, const ModelOptions& model, int64_t grid) {
  if (request.indices.size() < 2) {
    throw InputError(
        "--indices needs at least two: where the walk starts and where it ends (0,39 of 40 is one step)");
  }
  std::vector<double> times;
  for (const int64_t index : request.indices) {
    if (index < 0 || index >= grid) {
      throw InputError(
          concat("--indices must lie in 0 … ", grid - 1, " on a grid of ", grid, " levels, got ", index));
    }
    const bool last = index == grid - 1;
    times.push_back(last ? walk_end(model) : karras_sigma(model.sigma, grid, static_cast<double>(index)));
    if (times.size() > 1 && times.back() >= times[times.size() - 2])
      throw InputError("--indices must increase");
  }
  return times;
}

std::vector<double> flow_map_times(const ModelOptions& model, int64_t steps) {
  return flow_map_sigmas(path_of(model.parameterization, model.sigma), model.sigma.max, steps);
}

std::vector<double> multistep_times(const SamplerRequest& request, const ModelOptions& model,
                                    int64_t default_steps) {
  const int64_t grid = request.grid.value_or(grid_levels(model));
  if (!request.indices.empty()) return times_of_indices(request, model, grid);
  std::vector<double> times = request.sigmas;
  if (times.empty()) {
    const int64_t steps = request.steps.value_or(default_steps);
    const bool searched = !request.grid && static_cast<int64_t>(model.sampling.sigmas.size()) == steps;
    if (!searched && !request.grid && is_flow_map(model.parameterization))
      return flow_map_times(model, steps);
    times = searched ? model.sampling.sigmas : multistep_sigmas(model.sigma, steps, grid);
  }
  check_decreasing(times, model.sigma);
  times.push_back(walk_end(model));
  return times;
}

void check_request(const SamplerRequest& request) {
  const int given =
      (request.steps ? 1 : 0) + (request.sigmas.empty() ? 0 : 1) + (request.indices.empty() ? 0 : 1);
  if (given > 1) throw InputError("--steps, --sigmas and --indices exclude one another; give one");
  if (request.steps && *request.steps < 1)
    throw InputError(concat("--steps must be at least 1, got ", *request.steps));
  if (request.grid && *request.grid < 2)
    throw InputError(concat("--grid must be at least 2, got ", *request.grid));
}

// A student of N steps is a denoiser at its N levels; elsewhere its answers mean nothing.
void check_distilled(const SamplerRequest& request, int64_t n) {
  if (request.kind.value_or(SamplerKind::progdist) == SamplerKind::progdist && request.steps.value_or(n) == n)
    return;
  throw InputError(concat("this checkpoint was distilled to take ", n, " Euler step", n == 1 ? "" : "s",
                          " down its own grid (progressive distillation) and can take no others; leave out "
                          "--sampler and --steps"));
}

// EDM's extra noise has its place in the steps down the ODE.
void check_churn(const Churn& churn, Sampler sampler) {
  if (churn.s_churn == 0 || sampler.family == SamplerKind::ode) return;
  const auto takes_it = [](Sampler any) { return any.family == SamplerKind::ode; };
  throw InputError(concat("--s-churn adds noise to the steps of ", samplers_that(takes_it, "and"), "; the ",
                          to_string(sampler), " sampler takes none; leave it out"));
}

void check_restart(const SamplerRequest& request, Sampler sampler) {
  if (!request.restart) return;
  if (*request.restart < 0 || *request.restart > 1)
    throw InputError(concat("--restart must lie in [0, 1], got ", *request.restart));
  if (sampler == SamplerKind::flow_map) return;
  throw InputError(concat("--restart makes noise anew between the steps of the flow_map sampler; the ",
                          to_string(sampler), " sampler has no use for it; leave it out"));
}

void check_grid(const SamplerRequest& request, Sampler sampler) {
  const bool counts = sampler == SamplerKind::multistep
                          ? request.sigmas.empty()
                          : sampler == SamplerKind::flow_map && !request.indices.empty();
  if (!request.grid || counts) return;
  throw InputError(
      concat("--grid has the levels that multistep sampling's --indices and --steps count on; the ",
             to_string(sampler), " sampler counts on none here; leave it out"));
}

// From σ_max to 0. A network of DDPM's times is asked at these alone, as DDIM asks it.
std::vector<double> walk_down(const SamplerRequest& request, const ModelOptions& model, int64_t steps) {
  if (model.parameterization != Parameterization::vp_diffusion || !request.from_top)
    return sampler_sigmas_fp32(model.sigma, steps);
  if (steps > kDdpmTimes) {
    throw InputError(concat("--steps must be at most ", kDdpmTimes,
                            ", the noise levels that this checkpoint knows (vp_diffusion), got ", steps));
  }
  return ddim_sigmas(steps);
}

std::vector<int64_t> image_shape(const ModelOptions& model) {
  return {model.image.channels, model.image.size, model.image.size};
}

Tensor walk_flow_map(const FlowMap& map, const SamplerOptions& options, const SampleNoise& noise) {
  return sample_flow_map(map, noise.x_T, options.sigmas, options.restart, noise.noise);
}

}  // namespace

double walk_end(const ModelOptions& model) {
  const bool boundary_at_zero =
      model.parameterization == Parameterization::trig || is_flow_map(model.parameterization);
  return boundary_at_zero || model.sampling.full_noise ? 0 : model.sigma.min;
}

int64_t grid_levels(const ModelOptions& model) {
  return model.sampling.grid.value_or(kConsistencyGrid);
}

SamplerOptions choose_sampler(const SamplerRequest& request, const ModelOptions& model) {
  check_request(request);
  if (model.distilled_steps) check_distilled(request, *model.distilled_steps);
  SamplerOptions options{.kind = kind_for(request, model),
                         .sigmas = {},
                         .churn = request.churn,
                         .restart = request.restart.value_or(0),
                         .clamp = request.clamp && !model.latents,
                         .guidance = request.guidance,
                         .guide = guide_for(model, request.guidance, request.guide)};
  if (!is_consistency_sampler(options.kind) && (!request.sigmas.empty() || !request.indices.empty())) {
    throw InputError(
        "--sigmas and --indices are for multistep sampling; a diffusion model's samplers take --steps");
  }
  check_churn(options.churn, options.kind);
  check_restart(request, options.kind);
  check_grid(request, options.kind);
  const int64_t steps = request.steps.value_or(model.distilled_steps.value_or(kDenoiserSteps));
  switch (options.kind.family) {
    case SamplerKind::onestep:
      if (request.steps.value_or(1) != 1 || !request.sigmas.empty() || !request.indices.empty()) {
        throw InputError(concat("the onestep sampler takes one step; use --sampler ",
                                is_flow_map(model.parameterization) ? "flow_map or multistep" : "multistep"));
      }
      options.sigmas = {model.sigma.max};
      break;
    case SamplerKind::multistep:
      options.sigmas = multistep_times(request, model, 2);
      break;
    case SamplerKind::flow_map:
      options.sigmas = multistep_times(request, model, 1);
      break;
    case SamplerKind::progdist:  // ends at σ_min
      options.sigmas = sampler_sigmas_fp32(model.sigma, steps + 1);
      options.sigmas.pop_back();
      break;
    case SamplerKind::ode:
    case SamplerKind::ancestral:
      options.sigmas = walk_down(request, model, steps);
      break;
  }
  return options;
}

WalkNeeds needs_of(const SamplerOptions& options) {
  WalkNeeds needs;
  const Tensor pixel = torch::zeros({1, 1, 1, 1});
  const SampleNoise noise{.x_T = pixel, .noise = [&](int64_t) {
                            needs.noise = true;
                            return pixel;
                          }};
  const Denoiser counted = [&needs](const Tensor& x, const Tensor&) {
    ++needs.evaluations;
    return x;
  };
  if (options.kind == SamplerKind::flow_map) {
    const FlowMap map = [&counted](const Tensor& x, const Tensor& t, const Tensor&) { return counted(x, t); };
    walk_flow_map(guided(map, map, options.guidance, Levels::one), options, noise);
  } else {
    walk(guided(counted, counted, options.guidance, Levels::one), options, noise, 0);
  }
  return needs;
}

int64_t evaluations(const SamplerOptions& options) {
  return needs_of(options).evaluations;
}

NoiseSource seeded_draws(const ModelOptions& model, uint64_t seed, int64_t first, int64_t count,
                         const torch::Device& device) {
  return [seed, samples = sample_range(first, count), shape = image_shape(model), device](int64_t step) {
    return normal({.seed = seed, .purpose = Purpose::sampling_noise, .step = static_cast<uint32_t>(step)},
                  samples, shape, device);
  };
}

SampleNoise seeded_noise(const ModelOptions& model, const SamplerOptions& sampler, uint64_t seed,
                         int64_t first, int64_t count, const torch::Device& device) {
  const Tensor start = normal({.seed = seed, .purpose = Purpose::sampling_start}, sample_range(first, count),
                              image_shape(model), device);
  return {.x_T = start * sampler.sigmas.front(), .noise = seeded_draws(model, seed, first, count, device)};
}

Tensor in_range_of(const ModelOptions& model, const Tensor& x) {
  return model.latents ? x : x.clamp(-1, 1);
}

Tensor walk(const Denoiser& denoiser, const SamplerOptions& options, const SampleNoise& noise,
            double sigma_min) {
  const Denoiser d = options.clamp ? clamped(denoiser) : denoiser;
  switch (options.kind.family) {
    case SamplerKind::onestep:
      return sample_onestep(d, noise.x_T, options.sigmas.front());
    case SamplerKind::multistep:
      return sample_multistep(d, noise.x_T, options.sigmas, sigma_min, noise.noise);
    case SamplerKind::ancestral:
      return sample_ancestral(d, noise.x_T, options.sigmas, noise.noise);
    case SamplerKind::ode:
    case SamplerKind::progdist:
      return sample_churned(options.kind.solver, d, noise.x_T, options.sigmas, options.churn, noise.noise);
    case SamplerKind::flow_map:
      TORCH_CHECK(false, "a denoiser is no flow map");
  }
  TORCH_INTERNAL_ASSERT(false, "not a sampler");
}

Tensor sample(const Model& model, const SamplerOptions& options, const SampleNoise& noise,
              const Tensor& labels) {
  const torch::NoGradGuard guard;
  const torch::Device device = model.device();
  const Tensor classes = labels.defined() ? labels.to(device) : labels;
  const SampleNoise on_device{noise.x_T.to(device),
                              [&](int64_t step) { return noise.noise(step).to(device); }};
  if (options.kind == SamplerKind::flow_map) {
    const FlowMap map = guided_flow_map(model, classes, options.guidance, Levels::one);
    return in_range_of(model.options(), walk_flow_map(map, options, on_device));
  }
  const Denoiser denoiser = guided_denoiser(model, classes, options.guidance, Levels::one);
  return in_range_of(model.options(), walk(denoiser, options, on_device, walk_end(model.options())));
}

SamplerOptions one_step(const ModelOptions& model, double sigma, const Guidance& guidance) {
  return {.kind = SamplerKind::onestep,
          .sigmas = {sigma},
          .churn = {},
          .clamp = !model.latents,
          .guidance = guidance};
}

Tensor sample_next(const Model& model, const Tensor& x, double sigma, const Tensor& z, const Tensor& labels,
                   const Guidance& guidance) {
  const double scale = added_noise(sigma, walk_end(model.options()));
  return sample(model, one_step(model.options(), sigma, guidance), {.x_T = x + scale * z, .noise = {}},
                labels);
}

}  // namespace cm
