// The Jacobian-vector product through the real networks: attention, conditioned norms, resampling, dropout.
// In double, where finite differences and two backward passes tell an error from rounding, but for one test.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string_view>

#include "cm/base/text.h"
#include "cm/diffusion/jvp.h"
#include "cm/kernels/normal.h"
#include "cm/nn/perceptron.h"
#include "cm/training/model.h"
#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

using test::relative_difference;

constexpr std::string_view kDoubleNorm = ", double norm";

NetworkOptions network_of(const std::string& architecture, bool checkpointing, int64_t side) {
  UNetOptions network = test::tiny_network();
  network.channel_mult = {1, 1};
  network.attention_resolutions = {side / 2, side};
  network.head_channels = 16;
  network.dropout = 0.3;
  network.activation_checkpointing = checkpointing;
  if (!architecture.ends_with(kDoubleNorm)) return test::of_architecture(architecture, network);
  network.double_norm = true;
  return test::of_architecture(architecture.substr(0, architecture.size() - kDoubleNorm.size()), network);
}

// Two levels, the lower one with attention; f is x at ε alone, and nowhere near here.
Model small_model(const std::string& architecture, torch::Dtype dtype = torch::kFloat64,
                  bool checkpointing = false) {
  ModelOptions options = test::tiny_options();
  options.network = network_of(architecture, checkpointing, options.image.size);
  Model model = test::tiny_model(options, 4);
  model.network().to(dtype);
  return model;
}

struct Input {
  explicit Input(torch::Dtype dtype = torch::kFloat64) {
    const auto of = [dtype](uint64_t stream) {
      return normal({.seed = stream}, sample_range(0, 3), {1, 4, 4}).to(dtype);
    };
    sigma = torch::tensor({0.05, 1.0, 20.0}, dtype);
    x = of(1) + per_sample(sigma, of(2)) * of(2);
    direction = {of(3), torch::ones_like(sigma)};
    cotangent = of(4);
  }
  Tensor x;
  Tensor sigma;
  Direction direction;
  Tensor cotangent;  // to make one number of an output
  Tensor labels = torch::tensor({0, 1, 2});
};

Denoiser function_of(const Model& model, const Input& input) {
  return model.denoiser(input.labels, test::dropout_keys(11, 3));
}

// Central differences with a step in proportion to σ, because the network's time is 250 ln σ.
Tensor central_difference(const Denoiser& f, const Input& input) {
  const torch::NoGradGuard no_graph;
  const Tensor h = 1e-6 * input.sigma;
  const auto at = [&](double sign) {
    const Tensor shift = sign * h;
    return f(input.x + per_sample(shift, input.x) * input.direction.x_dot, input.sigma + shift);
  };
  return (at(1) - at(-1)) / per_sample(2 * h, input.x);
}

template <class Check>
void for_each_architecture(const Check& check) {
  auto architectures = test::architectures();
  for (const char* normalised : {"adm", "edm2"}) architectures.push_back(concat(normalised, kDoubleNorm));
  for (const auto& architecture : architectures) {
    SCOPED_TRACE(architecture);
    check(architecture);
  }
}

TEST(JvpOfNetworks, AgreesWithFiniteDifferences) {
  for_each_architecture([](const std::string& architecture) {
    const Model model = small_model(architecture);
    const Input input;
    const Denoiser f = function_of(model, input);
    const Tensor tangent = jvp(f, input.x, input.sigma, input.direction).tangent;
    EXPECT_EQ(tangent.scalar_type(), torch::kFloat64);
    EXPECT_GT(test::largest(tangent), 0.1);
    EXPECT_LT(relative_difference(tangent, central_difference(f, input)), 1e-6);
  });
}

// Both passes drop the same elements, whichever kernel attention takes and whatever layout it leaves.
TEST(JvpOfNetworks, ItsValueIsThatOfTheNetworkWithItsDropout) {
  for_each_architecture([](const std::string& architecture) {
    const Model model = small_model(architecture);
    const Input input;
    const Denoiser f = function_of(model, input);
    const Tensor value = jvp(f, input.x, input.sigma, input.direction).value;
    EXPECT_LT(relative_difference(value, f(input.x, input.sigma)), 1e-12);
    EXPECT_GT(relative_difference(value, model.denoiser(input.labels)(input.x, input.sigma)), 1e-3);
  });
}

TEST(JvpOfNetworks, TwoBackwardPassesAgreeAndTheirGradientIsRight) {
  for_each_architecture([](const std::string& architecture) {
    const Model model = small_model(architecture);
    const Input input;
    const Denoiser f = function_of(model, input);
    const auto forward = [&] { return jvp(f, input.x, input.sigma, input.direction); };
    const Jvp backward = differentiable_jvp(f, input.x, input.sigma, input.direction);
    EXPECT_LT(relative_difference(backward.tangent, forward().tangent), 1e-11);
    EXPECT_LT(relative_difference(backward.value, forward().value), 1e-11);

    // Along one direction of all parameters, against forward mode at two places.
    (backward.tangent * input.cotangent).sum().backward();
    double slope = 0;
    const double h = 1e-6;
    const torch::NoGradGuard no_graph;
    uint64_t seed = 50;
    std::vector<Tensor> steps;
    for (const auto& parameter : model.parameters()) {
      const Tensor step =
          normal({.seed = seed++}, {0}, {parameter.numel()}).view(parameter.sizes()).to(torch::kFloat64);
      steps.push_back(step);
      if (parameter.grad().defined()) slope += (parameter.grad() * step).sum().item<double>();
    }
    const auto moved = [&](double by) {
      size_t i = 0;
      for (auto& parameter : model.parameters()) parameter.add_(by * steps[i++]);
    };
    const auto value = [&] { return (forward().tangent * input.cotangent).sum().item<double>(); };
    moved(h);
    const double above = value();
    moved(-2 * h);
    const double below = value();
    EXPECT_NEAR(slope, (above - below) / (2 * h), 1e-5 * std::abs(slope));
  });
}

TEST(JvpOfNetworks, ActivationCheckpointingChangesNothing) {
  for_each_architecture([](const std::string& architecture) {
    const Input input;
    const auto results = [&](bool checkpointing) {
      const Model model = small_model(architecture, torch::kFloat64, checkpointing);
      const Denoiser f = function_of(model, input);
      const Tensor tangent = jvp(f, input.x, input.sigma, input.direction).tangent;
      (f(input.x, input.sigma) * tangent).sum().backward();
      return std::pair(tangent, model.parameters().front().grad());
    };
    const auto [tangent, gradient] = results(false);
    const auto [recomputed_tangent, recomputed_gradient] = results(true);
    EXPECT_TRUE(torch::equal(recomputed_tangent, tangent));
    EXPECT_LT(relative_difference(recomputed_gradient, gradient), 1e-12);
  });
}

// The loss f · sg(u) of one pass and of a pass for each.
TEST(JvpOfNetworks, OnePassHasTheValueTheTangentAndTheGradientOfTwo) {
  for_each_architecture([](const std::string& architecture) {
    const Input input;
    const auto results = [&](bool one_pass, bool checkpointing) {
      const Model model = small_model(architecture, torch::kFloat64, checkpointing);
      const Denoiser f = function_of(model, input);
      Jvp found;
      if (one_pass) {
        found = jvp_with_graph(f, input.x, input.sigma, input.direction);
      } else {
        found = {f(input.x, input.sigma), jvp(f, input.x, input.sigma, input.direction).tangent};
      }
      (found.value * found.tangent).sum().backward();
      std::vector<Tensor> all = {found.value.detach(), found.tangent};
      for (const auto& parameter : model.parameters())
        all.push_back(parameter.grad().defined() ? parameter.grad() : torch::zeros({}));
      return all;
    };
    const auto two = results(false, false);
    for (const bool checkpointing : {false, true}) {
      const auto one = results(true, checkpointing);
      ASSERT_EQ(one.size(), two.size());
      for (size_t i = 0; i < one.size(); ++i) {
        EXPECT_LT(test::largest_difference(one[i], two[i]), 1e-11 * (1 + test::largest(two[i])))
            << i << (checkpointing ? ", recomputed" : "");
      }
    }
  });
}

TEST(JvpOfNetworks, OfAPerceptronAgreesWithFiniteDifferences) {
  Perceptron network({}, {.channels = 1, .size = 4, .classes = 0}, 5);
  network.to(torch::kFloat64);
  const Denoiser f = [&](const Tensor& x, const Tensor& time) { return network.forward(x, {time}); };
  const Input input;
  const Jvp found = jvp_with_graph(f, input.x, input.sigma, input.direction);
  EXPECT_LT(relative_difference(found.tangent, central_difference(f, input)), 1e-6);
  EXPECT_TRUE(torch::equal(found.value, f(input.x, input.sigma)));
}

TEST(JvpOfNetworks, RecomputedBlocksCannotBeDifferentiatedTwice) {
  const Model model = small_model("adm", torch::kFloat64, /*checkpointing=*/true);
  const Input input;
  EXPECT_THROW(differentiable_jvp(function_of(model, input), input.x, input.sigma, input.direction),
               c10::Error);
}

// Of layers whose kernels compute tangents: fp32, sides and channels that they take.
TEST(JvpOfNetworks, TheKernelsTangentIsTheOperators) {
  for_each_architecture([](const std::string& architecture) {
    ModelOptions options = test::tiny_options(Parameterization::trig);
    options.image = {.channels = 3, .size = 16, .classes = 3};
    options.network = network_of(architecture, /*checkpointing=*/false, options.image.size);
    const auto results = [&](torch::Dtype type) {
      Model model = test::tiny_model(options, 4);
      model.network().to(type);
      const auto image = [&](uint64_t seed) {
        return normal({.seed = seed}, sample_range(0, 3), {3, 16, 16}).to(type);
      };
      const RawNetwork raw = model.raw_network(torch::tensor({0, 1, 2}), {});
      return jvp_with_graph(raw, image(1), torch::tensor({0.2, 0.7, 1.4}, type),
                            {image(2), torch::tensor({1.0, -0.5, 0.3}, type)});
    };
    const auto [single, exact] = std::pair(results(torch::kFloat32), results(torch::kFloat64));
    EXPECT_LT(relative_difference(single.value, exact.value), 2e-5);
    EXPECT_LT(relative_difference(single.tangent, exact.tangent), 2e-5);
  });
}

// In fp32 a tangent of size 1 at σ = 0.05 is what is left of 250/σ ∂F/∂time = 5000 ∂F/∂time, so that some
// thousand roundings of 6e-8 remain.
TEST(JvpOfNetworks, SinglePrecisionKeepsThreeDigits) {
  for_each_architecture([](const std::string& architecture) {
    const auto tangent = [&](torch::Dtype dtype, const auto& product) {
      const Model model = small_model(architecture, dtype);
      const Input input(dtype);
      // Without dropout, whose draws differ between the two types.
      return product(model.denoiser(input.labels), input.x, input.sigma, input.direction).tangent;
    };
    const Tensor exact = tangent(torch::kFloat64, jvp);
    for (const auto& product : {jvp, differentiable_jvp}) {
      const Tensor single = tangent(torch::kFloat32, product);
      EXPECT_EQ(single.scalar_type(), torch::kFloat32);
      EXPECT_LT(relative_difference(single, exact), 1e-3);
    }
  });
}

}  // namespace
}  // namespace cm
