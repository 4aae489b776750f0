#include "cm/training/losses.h"

namespace cm {

Tensor denoising_loss(const Denoiser& denoiser, const Tensor& x0, const Tensor& noise, const Tensor& sigma,
                      const Tensor& weight) {
  const Tensor x_sigma = x0 + per_sample(sigma, x0) * noise;
  return weight * (denoiser(x_sigma, sigma) - x0).square().flatten(1).mean(1);
}

PreviousPoint teacher_step(Solver solver, Denoiser teacher) {
  return [solver, phi = std::move(teacher)](const Tensor& x_t, const Tensor& /*x0*/, const SigmaPair& pair) {
    return solver_step(solver, phi, x_t, pair.t, pair.r);
  };
}

PreviousPoint data_step() {
  return [](const Tensor& x_t, const Tensor& x0, const SigmaPair& pair) {
    const Denoiser data = [&x0](const Tensor&, const Tensor&) { return x0; };
    return solver_step(Solver::euler, data, x_t, pair.t, pair.r);
  };
}

Tensor huber_norm(const Tensor& difference, double c) {
  const Tensor flat = difference.flatten(1);
  // LibTorch's own norm, not a square root: its gradient at 0 is 0.
  if (c == 0) return flat.norm(2, 1);
  return (flat.square().sum(1) + c * c).sqrt() - c;
}

Denoiser identity_at_zero(Denoiser denoiser) {
  return [inner = std::move(denoiser)](const Tensor& x, const Tensor& sigma) {
    const Tensor at_zero = sigma == 0;
    // At any other level there: a network's answer at σ = 0 could be NaN.
    const Tensor output = inner(x, torch::where(at_zero, torch::ones_like(sigma), sigma));
    return torch::where(per_sample(at_zero, x), x, output);
  };
}

Tensor consistency_loss(const Denoiser& student, const Denoiser& target, const PreviousPoint& previous,
                        const DistanceFunction& distance, const Tensor& x0, const Tensor& noise,
                        const SigmaPair& pair, const Tensor& weight) {
  const Tensor x_t = x0 + per_sample(pair.t, x0) * noise;
  const Tensor target_output = no_grad([&] { return target(previous(x_t, x0, pair), pair.r); });
  return weight * distance(student(x_t, pair.t), target_output);
}

Tensor two_step_target(const Denoiser& teacher, const Tensor& x_t, const HalvedStep& step) {
  const auto& [t, mid, end] = step;
  const Tensor denoised_1 = teacher(x_t, t);
  const Tensor x_mid = x_t + per_sample((mid - t) / t, x_t) * (x_t - denoised_1);
  const Tensor denoised_2 = teacher(x_mid, mid);
  const Tensor share = end * (t - mid) / (mid * (t - end));
  return denoised_2 + per_sample(share, x_t) * (denoised_1 - denoised_2);
}

Tensor progressive_loss(const Denoiser& student, const Denoiser& teacher, const DistanceFunction& distance,
                        const Tensor& x0, const Tensor& noise, const HalvedStep& step, const Tensor& weight) {
  const Tensor x_t = x0 + per_sample(step.t, x0) * noise;
  const Tensor target = no_grad([&] { return two_step_target(teacher, x_t, step); });
  return weight * distance(student(x_t, step.t), target);
}

}  // namespace cm
