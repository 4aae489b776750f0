// The U-Net against the official release's (tests/fixtures/unet*.safetensors): output, gradient of the input
// and of every parameter, for L = Σ output · g.
#include <gtest/gtest.h>

#include "cm/nn/layers.h"
#include "cm/nn/unet.h"
#include "support/closeness.h"
#include "support/fixture_network.h"
#include "support/formula_weights.h"
#include "support/gradient_parity.h"

namespace cm {
namespace {

using test::Fixture;

void check_formula(const Fixture& fixture, const NamedTensors& weights) {
  for (const auto& [name, tensor] : weights) {
    const Tensor& head = fixture["weight_head." + name];
    EXPECT_TRUE(torch::equal(tensor.flatten().narrow(0, 0, head.numel()), head)) << name;
    const double sum = tensor.to(torch::kFloat64).sum().item<double>();
    EXPECT_NEAR(sum, fixture.number("weight_sum." + name), 1e-9 * (1 + std::abs(sum))) << name;
  }
}

NamedTensors fixture_weights(const Fixture& fixture) {
  if (!fixture.config.contains("weight_order")) return test::with_prefix(fixture, "model.");
  NamedTensors weights = test::formula_weights(fixture.config);
  check_formula(fixture, weights);
  return weights;
}

void check(const Fixture& fixture) {
  const Json& unet = fixture.config.at("unet");
  const auto network = make_unet(test::unet_options(unet), test::image_spec(unet));
  EXPECT_EQ(parameter_count(*network), fixture.config.at("parameters").get<int64_t>());
  copy_weights(fixture_weights(fixture), *network, fixture.name);

  const Tensor& time = fixture["timesteps"];
  const Tensor features = time_features(time, unet.at("base_channels").get<int64_t>());
  EXPECT_LT(test::largest_difference(features, fixture["time_features"]), 2e-4);

  const Tensor x = fixture["x"].clone().requires_grad_(true);
  const Tensor labels = fixture.has("labels") ? fixture["labels"] : Tensor();
  const Tensor output = network->forward(x, time, labels, std::nullopt);
  EXPECT_LT(test::relative_difference(output, fixture["output"]), 2e-5);

  (output * fixture["g"]).sum().backward();
  EXPECT_LT(test::relative_difference(x.grad(), fixture["grad_x"]), 1e-4);
  test::expect_gradients(fixture, "", *network);
}

TEST(ParityUnet, AgreesWithTheReference) {
  for (const auto& fixture : test::fixtures("unet")) {
    SCOPED_TRACE(fixture.name);
    check(fixture);
  }
}

}  // namespace
}  // namespace cm
