#include "src/nn/checkpointing.h"

#include <gtest/gtest.h>

#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/random_batch.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using test::random_batch;

TEST(Checkpointing, ABlockHasTheSameValueAndGradients) {
  const Tensor weight = random_batch(1, {3})[0].clone().requires_grad_(true);
  const Block block = [&](const Joined& x, const Tensor& embedding) {
    return (x.first * weight).sin() + x.second.square() + embedding.exp();
  };
  const auto gradients = [&](bool checkpoint) {
    const Tensor x = random_batch(2, {3}).requires_grad_(true);
    const Tensor more = random_batch(4, {3}).requires_grad_(true);
    const Tensor embedding = random_batch(3, {3}).requires_grad_(true);
    weight.mutable_grad() = Tensor();
    const Joined both(x, more);
    const Tensor y = checkpoint ? checkpointed(block, both, embedding) : block(both, embedding);
    y.square().sum().backward();
    return torch::cat({y.detach().flatten(), x.grad().flatten(), more.grad().flatten(),
                       embedding.grad().flatten(), weight.grad()});
  };
  EXPECT_TRUE(torch::equal(gradients(true), gradients(false)));
}

TEST(Checkpointing, TheBlockRunsAgainInTheBackwardPassOnly) {
  int runs = 0;
  const Block block = [&](const Joined& x, const Tensor&) {
    ++runs;
    return 2 * x.first;
  };
  const Tensor x = torch::ones({2}).requires_grad_(true);
  const Tensor y = checkpointed(block, x, x);
  EXPECT_EQ(runs, 1);
  y.sum().backward();
  EXPECT_EQ(runs, 2);
  no_grad([&] { return checkpointed(block, x, x); });
  EXPECT_EQ(runs, 3);
}

// Output, then every parameter's gradient, of a small U-Net with dropout.
std::vector<Tensor> pass(const std::string& architecture, bool checkpoint) {
  UNetOptions options = test::small_unet();
  options.channel_mult = {1, 1};
  options.dropout = 0.3;
  options.activation_checkpointing = checkpoint;
  const auto network =
      make_network(test::of_architecture(architecture, options), {.channels = 1, .size = 8}, 5);
  const torch::NoGradGuard outside;
  uint64_t seed = 100;
  for (auto& parameter : network->parameters()) {
    parameter.add_(0.1 * random_batch(seed++, {parameter.numel()})[0].view(parameter.sizes()));
  }
  const torch::AutoGradMode recording(true);
  const Tensor time = torch::tensor({-300.0, 500.0});
  const Tensor y = network->forward(random_batch(1, {1, 8, 8}), {time}, test::dropout_keys(9, 2));
  y.square().sum().backward();
  std::vector<Tensor> results = {y.detach()};
  for (const auto& parameter : network->parameters()) results.push_back(parameter.grad());
  return results;
}

TEST(Checkpointing, ANetworkWithDropoutIsTheSameNetwork) {
  for (const auto& architecture : test::architectures()) {
    SCOPED_TRACE(architecture);
    const auto plain = pass(architecture, false);
    const auto recomputed = pass(architecture, true);
    ASSERT_EQ(plain.size(), recomputed.size());
    EXPECT_TRUE(torch::equal(plain[0], recomputed[0]));
    double scale = 0;
    for (size_t i = 1; i < plain.size(); ++i) scale = std::max(scale, test::largest(plain[i]));
    // Gradients that meet at a branch are added in another order.
    for (size_t i = 1; i < plain.size(); ++i) {
      EXPECT_LT(test::largest_difference(recomputed[i], plain[i]), 1e-5 * scale) << i;
    }
  }
}

}  // namespace
}  // namespace cm
