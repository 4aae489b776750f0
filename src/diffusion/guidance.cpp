#include "cm/diffusion/guidance.h"

#include <cmath>

namespace cm {

Denoiser guided(Denoiser denoiser, Denoiser weak, const Guidance& guidance, Levels levels) {
  const double w = guidance.weight;
  TORCH_CHECK(std::isfinite(w) && w >= 0, "a guidance weight must be at least 0, got ", w);
  if (w == 1) return denoiser;
  if (w == 0 && guidance.everywhere()) return weak;
  const auto led_away = [w](const Tensor& of_weak, const Tensor& own) {
    return of_weak + w * (own - of_weak);
  };
  const auto d_w = [=](const Tensor& x, const Tensor& sigma) {
    const Tensor of_weak = weak(x, sigma);
    return led_away(of_weak, denoiser(x, sigma));
  };
  if (guidance.everywhere()) return d_w;
  return [=](const Tensor& x, const Tensor& sigma) {
    Tensor inside = sigma > guidance.sigma_min;
    if (guidance.sigma_max) inside = inside.logical_and(sigma <= *guidance.sigma_max);
    if (levels == Levels::one) return inside[0].item<bool>() ? d_w(x, sigma) : denoiser(x, sigma);
    const Tensor of_weak = weak(x, sigma);
    const Tensor own = denoiser(x, sigma);
    return torch::where(per_sample(inside, x), led_away(of_weak, own), own);
  };
}

FlowMap guided(FlowMap map, FlowMap weak, const Guidance& guidance, Levels levels) {
  return [map = std::move(map), weak = std::move(weak), guidance, levels](const Tensor& x, const Tensor& t,
                                                                          const Tensor& s) {
    const auto to_s = [&s](const FlowMap& whole) -> Denoiser {
      return [&](const Tensor& from, const Tensor& level) { return whole(from, level, s); };
    };
    return guided(to_s(map), to_s(weak), guidance, levels)(x, t);
  };
}

}  // namespace cm
