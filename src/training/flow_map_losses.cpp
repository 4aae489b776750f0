#include "flow_map_losses.h"

#include "cm/diffusion/jvp.h"

namespace cm {
namespace {

constexpr double kSmallestSquare = 1e-8;

// u is drawn to u − g.
Tensor drawn_by(const Tensor& u, const Tensor& g, const AdaptiveNorm& norm) {
  return adaptive_square(u, u.detach() - g.detach(), norm);
}

// [G, M, N], [G, M, N] → [G, M, M]: exp(−scale · √max(‖·‖², 1e-8)/N) of all pairs, scale [G].
Tensor laplace_kernel(const Tensor& a, const Tensor& b, const Tensor& scale) {
  const Tensor difference = a.unsqueeze(2) - b.unsqueeze(1);
  const Tensor square = difference.square().sum(3).clamp_min(kSmallestSquare);
  return (-scale.view({-1, 1, 1}) * square.sqrt() / static_cast<double>(a.size(2))).exp();
}

}  // namespace

Tensor adaptive_square(const Tensor& a, const Tensor& b, const AdaptiveNorm& norm) {
  const Tensor square = (a - b.detach()).square().flatten(1).sum(1);
  if (norm.power == 0) return square;
  return square / (square.detach() + norm.epsilon).pow(norm.power);
}

Tensor eulerian_loss(const Path& path, const MeanVelocity& u, const PathPoint& at, const Tensor& s,
                     const AdaptiveNorm& norm) {
  const Denoiser to_s = [&](const Tensor& z, const Tensor& t) { return u(z, t, s); };
  const auto [value, du_dt] = jvp_with_graph(to_s, at.z, at.t, {at.velocity, torch::ones_like(at.t)});
  return drawn_by(value, path.drift_of_start(at, value.detach(), du_dt, s), norm);
}

Tensor lagrangian_loss(const Path& path, const MeanVelocity& u, const VelocityField& flow,
                       const PathPoint& at, const Tensor& s, const AdaptiveNorm& norm) {
  const Denoiser from_t = [&](const Tensor& z, const Tensor& end) { return u(z, at.t, end); };
  const auto [value, du_ds] = jvp_with_graph(from_t, at.z, s, {torch::zeros_like(at.z), torch::ones_like(s)});
  const Tensor drift = path.drift_of_end(at, value.detach(), du_ds, s);
  const Tensor end = path.move(at.z, value.detach(), at.t, s);
  const Tensor wanted = no_grad([&] { return flow(end, s); });
  return drawn_by(value, drift - wanted, norm);
}

Tensor alpha_flow_loss(const MeanVelocity& u, const PathPoint& at, const Tensor& s, const Tensor& alpha,
                       const AdaptiveNorm& norm) {
  const Tensor target = no_grad([&] {
    const Tensor delta = alpha * (at.t - s);
    const Tensor rest = u(at.z - per_sample(delta, at.z) * at.velocity, at.t - delta, s);
    const Tensor share = per_sample(alpha, at.z);
    return share * at.velocity + (1 - share) * rest;
  });
  return alpha * adaptive_square(u(at.z, at.t, s), target, norm);
}

Tensor shortcut_target(const MeanVelocity& u, const Tensor& z, const Tensor& t, const Tensor& d,
                       const Tensor& d_told, double clip) {
  const torch::NoGradGuard no_graph;
  const Tensor first = u(z, t, t - d_told);
  const Tensor between = (z - per_sample(d, z) * first).clamp(-clip, clip);
  return ((first + u(between, t - d, t - d - d_told)) / 2).clamp(-clip, clip);
}

Tensor moment_matching_loss(const Tensor& a, const Tensor& b, const Tensor& scale, int64_t group) {
  TORCH_CHECK(a.size(0) % group == 0, "samples come in groups of ", group, ", got ", a.size(0));
  const Tensor of_a = a.flatten(1).view({-1, group, a[0].numel()});
  const Tensor of_b = b.detach().flatten(1).view(of_a.sizes());
  const Tensor by_group = scale.view({-1, group}).select(1, 0);
  const Tensor pairs = laplace_kernel(of_a, of_a, by_group) - 2 * laplace_kernel(of_a, of_b, by_group) +
                       laplace_kernel(of_b, of_b, by_group);
  return pairs.mean({1, 2}).repeat_interleave(group);
}

}  // namespace cm
