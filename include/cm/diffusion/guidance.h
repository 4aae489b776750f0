// Guidance: of a denoiser and a weaker one of the same images, one that goes w times as far from the latter,
//
//   D_w(x, σ) = D_weak(x, σ) + w (D(x, σ) − D_weak(x, σ))
//
// Since σ² ∇ log p_σ(x) = D(x, σ) − x, its score is that of p(x)^w p_weak(x)^(1 − w) at this noise level: w =
// 1 is D itself, w = 0 the weaker one, w > 1 favours what D makes more likely, at the price of variety.
//
//   classifier-free guidance  D_weak knows no class: it is of all data (Ho & Salimans 2022, arXiv 2207.12598)
//   autoguidance              D_weak is a smaller or less trained model of the same images and classes
//                             (Karras et al. 2024, arXiv 2406.02507)
#pragma once

#include <optional>

#include "cm/diffusion/flow_map.h"

namespace cm {

// The weight and the interval where it holds, σ_min < σ ≤ σ_max, without end where there is no σ_max;
// elsewhere it is 1 (Kynkäänniemi et al. 2024, arXiv 2404.07724).
struct Guidance {
  double weight = 1;
  double sigma_min = 0;
  std::optional<double> sigma_max = std::nullopt;

  bool everywhere() const { return sigma_min == 0 && !sigma_max; }
  bool operator==(const Guidance&) const = default;
};

// Which noise levels a call of a denoiser has.
enum class Levels {
  any,  // those of its samples differ
  one,  // one for all, as in sampling: where it is outside of the interval the weaker denoiser is not called,
        // for which a GPU's level is waited for
};

// D_w; for w = 1, and w = 0 everywhere, one of the denoisers itself. c10::Error when w is negative or not
// finite.
Denoiser guided(Denoiser denoiser, Denoiser weak, const Guidance& guidance, Levels levels = Levels::any);

// The same of flow maps, X_weak + w (X − X_weak), which guides their mean velocities alike; the interval is
// where they start.
FlowMap guided(FlowMap map, FlowMap weak, const Guidance& guidance, Levels levels = Levels::any);

}  // namespace cm
