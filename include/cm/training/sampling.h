// From a model to images: the samplers of cm/diffusion/sampler.h with noise that depends on a seed and the
// sample alone.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "cm/diffusion/guidance.h"
#include "cm/diffusion/sampler.h"
#include "cm/training/model.h"

namespace cm {

// Consistency sampling in one step or several; that of flow maps; for denoisers, the walk of the ODE, which
// may be churned, down to 0; ancestral sampling; and the walk of progressive distillation, down to σ_min.
enum class SamplerKind { onestep, multistep, flow_map, ode, ancestral, progdist };

// What --sampler names. A walk of the ODE is by any solver and has its name; the steps of ancestral and
// progdist are Euler's.
struct Sampler {
  SamplerKind family;
  Solver solver = Solver::euler;

  constexpr Sampler(SamplerKind kind) : family(kind) {}
  constexpr Sampler(Solver of_the_ode) : family(SamplerKind::ode), solver(of_the_ode) {}
  constexpr bool operator==(const Sampler&) const = default;
};
template <>
struct EnumNames<Sampler> {
  using Name = EnumName<Sampler>;
  static constexpr auto names = std::apply(
      [](const auto&... solver) {
        return std::array{
            Name{SamplerKind::onestep, "onestep"},     Name{SamplerKind::multistep, "multistep"},
            Name{SamplerKind::flow_map, "flow_map"},   Name{solver.value, solver.name}...,
            Name{SamplerKind::ancestral, "ancestral"}, Name{SamplerKind::progdist, "progdist"}};
      },
      EnumNames<Solver>::names);
};

// Whether it samples consistency functions or flow maps, and not denoisers.
constexpr bool is_consistency_sampler(Sampler sampler) {
  return sampler == SamplerKind::onestep || sampler == SamplerKind::multistep ||
         sampler == SamplerKind::flow_map;
}

struct SamplerOptions {
  Sampler kind = SamplerKind::onestep;
  // onestep: σ_max; multistep and flow_map: the walk's times, the last of which only ends it; the others:
  // decreasing levels.
  std::vector<double> sigmas;
  Churn churn;
  double restart = 0;      // γ of sampling by a flow map
  bool clamp = true;       // the denoiser's output to [−1, 1] after every call; never of latents
  Guidance guidance = {};  // the denoiser is its D_w (cm/diffusion/guidance.h), clamped as a whole
  // The weights of the model that guidance leads away from; none: the model's own, without a class.
  std::optional<std::filesystem::path> guide = std::nullopt;
};

// What was asked for on a command line; at most one of steps, sigmas and indices.
struct SamplerRequest {
  std::optional<Sampler> kind = std::nullopt;
  std::optional<int64_t> steps = std::nullopt;
  // Time points of multistep sampling and of a flow map's, from σ_max down.
  std::vector<double> sigmas = {};
  // The release's: indices on the grid, 0 = σ_max, the last one ends the walk.
  std::vector<int64_t> indices = {};
  std::optional<int64_t> grid = std::nullopt;  // levels that indices and multistep sampling's steps count on
  Churn churn = {};
  std::optional<double> restart = std::nullopt;  // γ of sampling by a flow map
  bool clamp = true;
  Guidance guidance = {};
  std::optional<std::string> guide = std::nullopt;  // what resolve_weights takes
  bool from_top = true;  // otherwise the model's sigma.max was lowered to where an edit begins
};

// Levels of the grid whose indices name the model's time points: its own, or the release's 40.
int64_t grid_levels(const ModelOptions& model);

// The sampler that fits the model: its time points, and defaults for what was left open (heun with 18 steps
// for a denoiser, one step for a consistency function or a flow map; N steps: the model's own time points, or
// the grid's, those that divide a flow map's path, or in vp_diffusion DDIM's). A model of progressive
// distillation knows the levels of its own grid only: progdist in its N steps. InputError when the request
// contradicts itself or the model (a consistency sampler for a denoiser, that of flow maps for anything else,
// indices beyond the grid, a grid for nothing that counts on it, 0 steps, other steps than a model was
// distilled to, extra noise where there are no steps down the ODE, guidance of a model that cannot be guided,
// a guide that cannot guide it).
SamplerOptions choose_sampler(const SamplerRequest& request, const ModelOptions& model);

// ε of multistep sampling, which adds √(τ² − ε²) z at τ: the level where its walk ends. 0 for a model that
// says so (sampling.full_noise) or has its boundary there (trig, flow maps).
double walk_end(const ModelOptions& model);

// What a walk takes for one image: network evaluations, and noise besides that of its start.
struct WalkNeeds {
  int64_t evaluations = 0;
  bool noise = false;
};
WalkNeeds needs_of(const SamplerOptions& options);
int64_t evaluations(const SamplerOptions& options);

// The starting noise and the draws of a batch, fp32 [B, C, H, W].
struct SampleNoise {
  Tensor x_T;  // already times the first σ
  NoiseSource noise;
};

// The draws of each step for samples first … first + count − 1 from a seed: each sample's depend on the seed
// and its index alone. Made on the device (cm/kernels/normal.h).
NoiseSource seeded_draws(const ModelOptions& model, uint64_t seed, int64_t first, int64_t count,
                         const torch::Device& device = torch::kCPU);

// The same with the start of the walk.
SampleNoise seeded_noise(const ModelOptions& model, const SamplerOptions& sampler, uint64_t seed,
                         int64_t first, int64_t count, const torch::Device& device = torch::kCPU);

// The range of what a model makes: [−1, 1] for pixels; latents, which have none, stay as they are.
Tensor in_range_of(const ModelOptions& model, const Tensor& x);

// The sampler's walk, any but flow_map's, by any denoiser, which is guided already where it is to be, before
// the final clamp; the noise on the device of the denoiser's tensors. `sigma_min` is multistep sampling's ε.
Tensor walk(const Denoiser& denoiser, const SamplerOptions& options, const SampleNoise& noise,
            double sigma_min);

// What the model makes, fp32 [B, C, H, W] on its device: images in [−1, 1], or latents. `labels` int64 [B]
// (undefined where there are no classes).
Tensor sample(const Model& model, const SamplerOptions& options, const SampleNoise& noise,
              const Tensor& labels);

// One evaluation at this level.
SamplerOptions one_step(const ModelOptions& model, double sigma, const Guidance& guidance = {});

// One more step of multistep sampling (CM Algorithm 1): f(x + √(σ² − ε²) z, σ), fp32 [B, C, H, W], for
// samples `x` that the model made along larger time points, and unit normal `z` of their shape; ε is
// walk_end.
Tensor sample_next(const Model& model, const Tensor& x, double sigma, const Tensor& z, const Tensor& labels,
                   const Guidance& guidance = {});

}  // namespace cm
