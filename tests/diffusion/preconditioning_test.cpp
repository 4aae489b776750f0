#include "cm/diffusion/preconditioning.h"

#include <gtest/gtest.h>

#include <numbers>

#include "cm/base/random.h"
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
    bool has_trig_time;
  };
  for (const Kind& kind :
       {Kind{Parameterization::edm, true, false}, Kind{Parameterization::skip, false, false},
        Kind{Parameterization::piecewise, false, false}, Kind{Parameterization::trig, false, true},
        Kind{Parameterization::trig_diffusion, true, true}}) {
    EXPECT_EQ(is_diffusion(kind.parameterization), kind.is_diffusion) << to_string(kind.parameterization);
    EXPECT_EQ(has_trig_time(kind.parameterization), kind.has_trig_time) << to_string(kind.parameterization);
  }
}

TEST(Preconditioning, AConsistencyFunctionIsTheIdentityAtSigmaMin) {
  const SigmaOptions options;
  const Tensor x = some_images();
  for (const auto kind : {Parameterization::skip, Parameterization::piecewise}) {
    const Denoiser f = precondition(kind, options, 1000, arbitrary_network);
    EXPECT_LT(largest_difference(f(x, torch::full({5}, options.min)), x), 1e-7) << to_string(kind);
    const Tensor in_double = x.to(torch::kFloat64);
    const Tensor epsilon = torch::full({5}, options.min, torch::kFloat64);
    EXPECT_TRUE(torch::equal(f(in_double, epsilon), in_double)) << to_string(kind);
  }
}

TEST(Preconditioning, TheEndOfAnFp32GridIsSigmaMin) {
  const Tensor x = some_images(1);
  const Tensor grid_end = torch::full({1}, 0.0019999996);
  for (const auto kind : {Parameterization::skip, Parameterization::piecewise}) {
    const Denoiser f = precondition(kind, {}, 1000, arbitrary_network);
    EXPECT_LT(largest_difference(f(x, grid_end), x), 1e-6) << to_string(kind);
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

// The EDM scalings are the denoiser of N(0, σ_data²) plus what the network has to add: nothing, for that
// data.
TEST(Preconditioning, EdmWithoutNetworkDenoisesAGaussian) {
  const test::Gaussian data{torch::zeros({1}), 0.5};
  const Tensor x = some_images().to(torch::kFloat64);
  const Tensor sigma = torch::tensor({0.002, 0.1, 0.5, 3.0, 80.0}, torch::kFloat64);
  const Denoiser denoiser = precondition(Parameterization::edm, {}, 1000, zero_network);
  EXPECT_LT(largest_difference(denoiser(x, sigma), test::denoiser_of(data)(x, sigma)), 1e-14);
}

TEST(Preconditioning, ScalingsKeepUnitVariance) {
  const Tensor sigma = torch::tensor({0.002, 0.3, 1.0, 80.0}, torch::kFloat64);
  const Tensor variance = sigma.square() + 0.25;
  const Scalings edm = scalings(Parameterization::edm, {}, sigma);
  const Tensor input_variance = edm.c_in.square() * variance;
  EXPECT_LT(largest_difference(input_variance, torch::ones(4)), 1e-14);
  // Var[x₀ − c_skip x_σ] = c_out²: the network's target has variance 1.
  const Tensor target = (1 - edm.c_skip).square() * 0.25 + (edm.c_skip * sigma).square();
  EXPECT_LT(largest_difference(target / edm.c_out.square(), torch::ones(4)), 1e-12);
}

TEST(Preconditioning, NetworkTimeIsAThousandQuartersOfTheLogarithm) {
  const Tensor time = network_time(torch::tensor({1.0, std::numbers::e}, torch::kFloat64), 1000);
  EXPECT_LT(largest_difference(time, torch::tensor({0.0, 250.0}, torch::kFloat64)), 1e-12);
}

}  // namespace
}  // namespace cm
