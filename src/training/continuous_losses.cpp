#include "continuous_losses.h"

#include <torch/csrc/autograd/autograd.h>

namespace cm {
namespace {

Direction direction_of(const TrajectoryPoint& point) {
  return {point.x_dot, torch::ones_like(point.sigma)};
}

Tensor inner_product(const Tensor& a, const Tensor& b) {
  return (a * b).flatten(1).sum(1);
}

}  // namespace

TrajectoryPoint on_trajectory_of(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma) {
  return {x, sigma, no_grad([&] { return (x - denoiser(x, sigma)) / per_sample(sigma, x); })};
}

TangentMetric euclidean_metric() {
  return [](const Tensor& /*f*/, const Tensor& u) { return u; };
}

TangentMetric hessian_metric(DistanceFunction distance) {
  return [d = std::move(distance)](const Tensor& f, const Tensor& u) {
    const bool differentiable = f.requires_grad() || u.requires_grad();
    const Tensor a = f.requires_grad() ? f.view_as(f) : f.detach().requires_grad_(true);
    const Tensor slope = torch::autograd::grad({d(a, f).sum()}, {a}, {}, /*retain_graph=*/true,
                                               /*create_graph=*/true)[0];
    return torch::autograd::grad({(slope * u).sum()}, {a}, {}, /*retain_graph=*/differentiable,
                                 /*create_graph=*/differentiable)[0];
  };
}

StopGradientLoss stop_gradient_loss(const Denoiser& student, const TrajectoryPoint& point,
                                    const TangentMetric& metric, const Tensor& weight) {
  const auto [f, u] = jvp_with_graph(student, point.x, point.sigma, direction_of(point));
  const Tensor pull = metric(f.detach(), u);
  return {weight * inner_product(f, pull), u};
}

TangentSize euclidean_size() {
  return [](const Tensor& /*f*/, const Tensor& u) {
    return at::linalg_vector_norm(u.flatten(1), 2, /*dim=*/{1});
  };
}

TangentSize mean_absolute_size() {
  return [](const Tensor& /*f*/, const Tensor& u) { return u.abs().flatten(1).mean(1); };
}

TangentSize quadratic_size(TangentMetric metric) {
  return [g = std::move(metric)](const Tensor& f, const Tensor& u) { return inner_product(u, g(f, u)); };
}

Tensor tangent_loss(const Denoiser& student, const TrajectoryPoint& point, const TangentSize& size,
                    const Tensor& weight) {
  const auto [f, u] = differentiable_jvp(student, point.x, point.sigma, direction_of(point));
  return weight * size(f, u);
}

}  // namespace cm
