#include "cm/diffusion/gaussian_mixture.h"
#include "cm/kernels/normal.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace cm {
namespace {

// Points as float64 [B, D].
Tensor as_points(const GaussianMixture& data, const Tensor& x) {
  const Tensor points = x.to(torch::kCPU, torch::kFloat64).flatten(1);
  TORCH_CHECK(points.size(1) == data.means.size(1), "points of ", points.size(1),
              " numbers, but the mixture lives in ", data.means.size(1), " dimensions");
  return points;
}

Tensor as_levels(const Tensor& sigma) {
  return sigma.to(torch::kCPU, torch::kFloat64);
}

// s_k² + σ², [B, K].
Tensor variances(const GaussianMixture& data, const Tensor& sigma) {
  return data.stds.square() + sigma.square().unsqueeze(1);
}

Tensor shares(const GaussianMixture& data, const Tensor& x, const Tensor& variance) {
  const auto dimensions = static_cast<double>(data.means.size(1));
  const Tensor distance2 = (x.unsqueeze(1) - data.means).square().sum(2);
  return (data.weights.log() - dimensions / 2 * variance.log() - distance2 / (2 * variance)).softmax(1);
}

// D(x, σ); x float64 [B, D], sigma float64 [B].
Tensor denoise(const GaussianMixture& data, const Tensor& x, const Tensor& sigma) {
  const Tensor variance = variances(data, sigma);
  const Tensor share = shares(data, x, variance);
  const Tensor of_means = (share * sigma.square().unsqueeze(1) / variance).mm(data.means);
  return of_means + (share * data.stds.square() / variance).sum(1, /*keepdim=*/true) * x;
}

// Dormand & Prince 1980: stage i at v + kNode[i] h is reached by kStage[i]; the last row is the step itself,
// and kError what the embedded method of order 4 differs by.
constexpr size_t kStages = 7;
constexpr std::array<double, kStages> kNode = {0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1};
constexpr double kStage[kStages][kStages - 1] = {
    {},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}};
constexpr std::array<double, kStages> kError = {71.0 / 57600,      0,          -71.0 / 16695, 71.0 / 1920,
                                                -17253.0 / 339200, 22.0 / 525, -1.0 / 40};

// The error that one step may make in x, in units of √(1 + σ²), the size of the points there: a few hundred
// steps add up to less than 1e-10.
constexpr double kStepTolerance = 1e-13;

// The trajectories of a batch, over the fraction v of the way from ln σ to ln σ'. One step size serves all.
class Trajectories {
 public:
  Trajectories(const GaussianMixture& data, Tensor x, const Tensor& sigma, const Tensor& sigma_next)
      : data_(data),
        x_(std::move(x)),
        log_start_(sigma.log()),
        way_(sigma_next.log() - log_start_),
        slope_(slope(x_, 0)) {}

  Tensor end() {
    double v = 0;
    double h = 1e-3;
    while (v < 1) {
      h = std::min(h, 1 - v);
      const bool last = h == 1 - v;
      const double error = try_step(v, h);
      if (error <= 1) {
        x_ = next_;
        slope_ = next_slope_;
        v = last ? 1 : v + h;
      }
      h *= std::clamp(0.9 * std::pow(std::max(error, 1e-12), -0.2), 0.2, 5.0);
      TORCH_CHECK(h > 1e-9, "the mixture's trajectories cannot be followed: the step size vanished");
    }
    return x_;
  }

 private:
  Tensor level(double v) const { return (log_start_ + v * way_).exp(); }

  // dx/dv = (dx/d ln σ) ln(σ'/σ).
  Tensor slope(const Tensor& x, double v) const {
    return way_.unsqueeze(1) * (x - denoise(data_, x, level(v)));
  }

  // Computes next_ and next_slope_; returns the step's error over what it may be.
  double try_step(double v, double h) {
    std::vector<Tensor> slopes = {slope_};
    for (size_t i = 1; i < kStages; ++i) {
      next_ = x_;
      for (size_t j = 0; j < i; ++j) {
        if (kStage[i][j] != 0) next_ = next_ + h * kStage[i][j] * slopes[j];
      }
      slopes.push_back(slope(next_, v + kNode[i] * h));
    }
    next_slope_ = slopes.back();
    Tensor error = torch::zeros_like(x_);
    for (size_t i = 0; i < kStages; ++i) error += h * kError[i] * slopes[i];
    const Tensor size = (1 + level(v).square()).sqrt().unsqueeze(1);
    return (error / size).abs().max().item<double>() / kStepTolerance;
  }

  const GaussianMixture& data_;
  Tensor x_;
  Tensor log_start_;
  Tensor way_;
  Tensor slope_;
  Tensor next_;
  Tensor next_slope_;
};

}  // namespace

void check_mixture(const GaussianMixture& data) {
  const auto is_vector = [&](const Tensor& values) {
    return values.dim() == 1 && values.size(0) == data.means.size(0) && values.dtype() == torch::kFloat64;
  };
  TORCH_CHECK(data.means.dim() == 2 && data.means.dtype() == torch::kFloat64,
              "a mixture's means must be float64 [K, D]");
  TORCH_CHECK(is_vector(data.weights) && is_vector(data.stds), "a mixture of ", data.means.size(0),
              " Gaussians needs as many float64 weights and stds");
  TORCH_CHECK((data.weights > 0).all().item<bool>() && std::abs(data.weights.sum().item<double>() - 1) < 1e-9,
              "a mixture's weights must be positive with sum 1, got ", data.weights.sum().item<double>());
  TORCH_CHECK((data.stds > 0).all().item<bool>(), "a mixture's stds must be positive, got ",
              data.stds.min().item<double>());
}

Tensor mean_of(const GaussianMixture& data) {
  return torch::mv(data.means.t(), data.weights);
}

Tensor covariance_of(const GaussianMixture& data, double sigma) {
  const Tensor centred = data.means - mean_of(data);
  const Tensor between = centred.t().mm(data.weights.unsqueeze(1) * centred);
  const double within = (data.weights * data.stds.square()).sum().item<double>();
  return between + (within + sigma * sigma) * torch::eye(data.means.size(1), torch::kFloat64);
}

Tensor responsibilities(const GaussianMixture& data, const Tensor& x, const Tensor& sigma) {
  check_mixture(data);
  return shares(data, as_points(data, x), variances(data, as_levels(sigma)));
}

Denoiser denoiser_of(const GaussianMixture& data) {
  check_mixture(data);
  return [data](const Tensor& x, const Tensor& sigma) {
    return denoise(data, as_points(data, x), as_levels(sigma)).view(x.sizes()).to(x.options());
  };
}

FlowMap flow_of(const GaussianMixture& data) {
  check_mixture(data);
  return [data](const Tensor& x, const Tensor& t, const Tensor& s) {
    const Tensor from = as_levels(t);
    const Tensor to = as_levels(s);
    TORCH_CHECK((from > 0).all().item<bool>() && (to > 0).all().item<bool>(),
                "a mixture's flow runs between positive noise levels");
    const torch::NoGradGuard guard;
    return Trajectories(data, as_points(data, x), from, to).end().view(x.sizes()).to(x.options());
  };
}

Denoiser consistency_of(const GaussianMixture& data, double epsilon) {
  return ending_at(flow_of(data), epsilon);
}

Tensor draw(const GaussianMixture& data, double sigma, uint64_t seed, uint32_t step,
            const std::vector<int64_t>& samples) {
  check_mixture(data);
  const Tensor u = uniform({.seed = seed, .purpose = Purpose::data_component, .step = step}, samples);
  const Tensor component =
      (u.unsqueeze(1) >= data.weights.cumsum(0)).sum(1).clamp_max(data.means.size(0) - 1);
  const Tensor z =
      normal({.seed = seed, .purpose = Purpose::data_noise, .step = step}, samples, {data.means.size(1)});
  const Tensor width = (data.stds.index_select(0, component).square() + sigma * sigma).sqrt();
  return data.means.index_select(0, component) + width.unsqueeze(1) * z.to(torch::kFloat64);
}

}  // namespace cm
