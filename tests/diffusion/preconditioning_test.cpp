#include "cm/diffusion/preconditioning.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <optional>
#include <stdexcept>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

using test::largest_difference;

Tensor some_images(int64_t batch = 5) {
  return normal({.seed = 1}, sample_range(0, batch), {3, 4, 4});
}

// A network whose output has nothing to do with what a boundary condition asks for.
Tensor arbitrary_network(const Tensor& x, const Tensor& time) {
  return (3 * x).sin() + per_sample(time, x) + 17;
}

Tensor zero_network(const Tensor& x, const Tensor&) {
  return torch::zeros_like(x);
}

TEST(Preconditioning, TellsDiffusionFromConsistencyAndTimesApart) {
  struct Kind {
    Parameterization parameterization;
    bool is_diffusion;
    bool is_flow_map;
    std::optional<PathKind> path;
  };
  for (const Kind& kind : {Kind{Parameterization::edm, true, false, std::nullopt},
                           Kind{Parameterization::skip, false, false, std::nullopt},
                           Kind{Parameterization::piecewise, false, false, std::nullopt},
                           Kind{Parameterization::trig, false, false, PathKind::trig},
                           Kind{Parameterization::trig_diffusion, true, false, PathKind::trig},
                           Kind{Parameterization::vp_diffusion, true, false, std::nullopt},
                           Kind{Parameterization::linear_diffusion, true, false, PathKind::linear},
                           Kind{Parameterization::linear_map, false, true, PathKind::linear},
                           Kind{Parameterization::trig_map, false, true, PathKind::trig}}) {
    const std::string name = to_string(kind.parameterization);
    EXPECT_EQ(is_diffusion(kind.parameterization), kind.is_diffusion) << name;
    EXPECT_EQ(is_flow_map(kind.parameterization), kind.is_flow_map) << name;
    EXPECT_EQ(path_kind(kind.parameterization), kind.path) << name;
  }
}

// The level at which a consistency function is the identity; a denoiser has none.
std::optional<double> boundary_of(Parameterization kind, const SigmaOptions& options) {
  switch (kind) {
    case Parameterization::skip:
    case Parameterization::piecewise:
      return options.min;
    case Parameterization::trig:
      return 0;
    case Parameterization::linear_map:  // whose boundary is where it is asked to go:
                                        // tests/diffusion/path_test.cpp
    case Parameterization::trig_map:
    case Parameterization::edm:
    case Parameterization::trig_diffusion:
    case Parameterization::vp_diffusion:
    case Parameterization::linear_diffusion:
      return std::nullopt;
  }
  throw std::logic_error("not a parameterization");
}

TEST(Preconditioning, AConsistencyFunctionIsTheIdentityAtItsBoundary) {
  const SigmaOptions options;
  const Tensor x = some_images();
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    const auto boundary = boundary_of(kind, options);
    EXPECT_EQ(is_diffusion(kind) || is_flow_map(kind), !boundary) << name;
    if (!boundary) continue;
    const Denoiser f = precondition(kind, options, 1000, arbitrary_network);
    EXPECT_LT(largest_difference(f(x, torch::full({5}, *boundary)), x), 1e-7) << name;
    const Tensor in_double = x.to(torch::kFloat64);
    const Tensor epsilon = torch::full({5}, *boundary, torch::kFloat64);
    EXPECT_TRUE(torch::equal(f(in_double, epsilon), in_double)) << name;
  }
}

TEST(Preconditioning, TheEndOfAnFp32GridIsSigmaMin) {
  const Tensor x = some_images(1);
  const Tensor grid_end = torch::full({1}, 0.0019999996);
  for (const auto kind : {Parameterization::skip, Parameterization::piecewise}) {
    const Denoiser f = precondition(kind, {}, 1000, arbitrary_network);
    EXPECT_LT(largest_difference(f(x, grid_end), x), 1e-6) << to_string(kind);
    // 0.002 in fp32 is more than 0.002.
    const Tensor rounded_up = torch::full({1}, 0.002F).to(torch::kFloat64);
    EXPECT_LT(largest_difference(f(x.to(torch::kFloat64), rounded_up), x), 1e-6) << to_string(kind);
  }
}

TEST(Preconditioning, PiecewiseIsTheNetworkAboveSigmaMin) {
  const SigmaOptions options;
  const Tensor x = some_images(2);
  const Tensor sigma = torch::tensor({0.01, 80.0});
  const Tensor c_in = (sigma.square() + 0.25).rsqrt();
  const Tensor network = arbitrary_network(per_sample(c_in, x) * x, network_time(sigma, 1000));
  const Denoiser f = precondition(Parameterization::piecewise, options, 1000, arbitrary_network);
  EXPECT_TRUE(torch::equal(f(x, sigma), network));
}

// Those whose scalings are EDM's, which suppose data of σ_data².
bool supposes_deviation(Parameterization kind) {
  return path_kind(kind) != PathKind::linear && kind != Parameterization::vp_diffusion;
}

// Those of EDM and TrigFlow are the denoiser of N(0, σ_data²) plus what the network has to add: nothing,
// for that data.
TEST(Preconditioning, ADenoiserWithoutNetworkDenoisesAGaussian) {
  const test::Gaussian data{torch::zeros({1}), 0.5};
  const Tensor x = some_images().to(torch::kFloat64);
  const Tensor sigma = torch::tensor({0.002, 0.1, 0.5, 3.0, 80.0}, torch::kFloat64);
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    if (!is_diffusion(kind) || !supposes_deviation(kind)) continue;
    const Denoiser denoiser = precondition(kind, {}, 1000, zero_network);
    EXPECT_LT(largest_difference(denoiser(x, sigma), test::denoiser_of(data)(x, sigma)), 1e-14) << name;
  }
}

TEST(Preconditioning, ScalingsKeepUnitVariance) {
  const Tensor sigma = torch::tensor({0.002, 0.3, 1.0, 80.0}, torch::kFloat64);
  const Tensor variance = sigma.square() + 0.25;
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    if (!supposes_deviation(kind) || is_flow_map(kind)) continue;
    const auto [c_skip, c_out, c_in] = scalings(kind, {}, sigma);
    EXPECT_LT(largest_difference(c_in.square() * variance, torch::ones(4)), 1e-14) << name;
    if (!is_diffusion(kind)) continue;
    // Var[x₀ − c_skip x_σ] = c_out²: the network's target has variance 1.
    const Tensor target = (1 - c_skip).square() * 0.25 + (c_skip * sigma).square();
    EXPECT_LT(largest_difference(target / c_out.square(), torch::ones(4)), 1e-12) << name;
  }
}

TEST(Preconditioning, NetworksOfOneTimeCanServeOneAnother) {
  using enum Parameterization;
  EXPECT_TRUE(same_time(edm, skip));
  EXPECT_TRUE(same_time(linear_diffusion, linear_map));
  EXPECT_TRUE(same_time(vp_diffusion, vp_diffusion));
  EXPECT_FALSE(same_time(vp_diffusion, edm));
  EXPECT_FALSE(same_time(skip, trig));
}

TEST(Preconditioning, NetworkTimeIsAThousandQuartersOfTheLogarithm) {
  const Tensor time = network_time(torch::tensor({1.0, std::numbers::e}, torch::kFloat64), 1000);
  EXPECT_LT(largest_difference(time, torch::tensor({0.0, 250.0}, torch::kFloat64)), 1e-12);
  const double at_zero = network_time(torch::zeros({1}, torch::kFloat64), 1000).item<double>();
  EXPECT_NEAR(at_zero, 250 * std::log(1e-44), 1e-9);
}

}  // namespace
}  // namespace cm
