// All that is needed to use a file of weights, besides the weights.
#pragma once

#include <optional>
#include <vector>

#include "cm/base/limits.h"
#include "cm/data/latent_space.h"
#include "cm/diffusion/discretization.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/nn/networks.h"

namespace cm {

// How the model samples best; kept with the weights.
struct SamplingOptions {
  std::optional<int64_t> grid;
  std::vector<double> sigmas;
  bool full_noise = false;
};

template <class Visitor>
void fields(Visitor& visit, SamplingOptions& o) {
  visit("grid", o.grid,
        "levels of the Karras grid whose indices name the time points; default: the training's last N",
        within(2, kMostLevels));
  visit("sigmas", o.sigmas,
        "time points of multistep sampling, from sigma.max down, where a search found good ones", above(0));
  visit("full_noise", o.full_noise,
        "multistep sampling adds τ z at a time point τ (ECT), in place of √(τ² − ε²) z, ε = sigma.min");
}

struct ModelOptions {
  NetworkOptions network;
  ImageSpec image;
  Parameterization parameterization = Parameterization::skip;
  SigmaOptions sigma;
  SamplingOptions sampling;
  // N of progressive distillation: the denoiser makes an image in N Euler steps down its own grid.
  std::optional<int64_t> distilled_steps = std::nullopt;
  // Probability with which training replaced a class by the null class: 0 means that it never saw that.
  double label_dropout = 0;
  // The weight of the guidance that was distilled into it, if any.
  std::optional<double> guidance = std::nullopt;
  // Where it lives; none: among pixels in [−1, 1]. Then `image` is of latents.
  std::optional<LatentSpace> latents = std::nullopt;
};

template <class Visitor>
void fields(Visitor& visit, ModelOptions& o) {
  visit("network", o.network, "the network");
  visit("image", o.image, "the images");
  visit("parameterization", o.parameterization, "how the network becomes a denoiser or consistency function");
  visit("sigma", o.sigma, "noise levels");
  visit("sampling", o.sampling, "sampling");
  visit("distilled_steps", o.distilled_steps, "Euler steps that progressive distillation left",
        within(1, kMostLevels));
  visit("label_dropout", o.label_dropout, "share of the examples whose class training did not tell",
        from_below(0, 1));
  visit("guidance", o.guidance, "weight of the guidance that was distilled into it", at_least(0));
  visit("latents", o.latents, "of which VAE and how normalised its images are, where they are latents");
}

}  // namespace cm
