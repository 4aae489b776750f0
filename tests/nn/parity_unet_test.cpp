// The U-Net against the official release's (tests/fixtures/unet*.safetensors): output, gradient of the input
// and of every parameter, for L = Σ output · g.
#include <gtest/gtest.h>

#include "cm/nn/layers.h"
#include "cm/nn/networks.h"
#include "support/fixture_network.h"
#include "support/formula_weights.h"
#include "support/gradient_parity.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::absolute;
using test::expect_parity;
using test::Fixture;
using test::relative;

NamedTensors fixture_weights(const Fixture& fixture) {
  if (!fixture.config.contains("weight_order")) return test::with_prefix(fixture, "model.");
  return test::checked_formula_weights(fixture);
}

TEST(ParityUnet, AgreesWithTheReference) {
  test::check_cases("unet", [](const Fixture& fixture) {
    const Json& unet = fixture.config.at("unet");
    const auto network = make_network(test::unet_options(unet), test::image_spec(unet));
    network->to(test::parity_device());
    copy_weights(fixture_weights(fixture), *network, fixture.name);

    const Tensor& time = fixture["timesteps"];
    const Tensor features = time_features(time, unet.at("base_channels").get<int64_t>());
    expect_parity({fixture.name, "time features"}, absolute(features, fixture["time_features"]), 2e-4);

    const Tensor x = fixture["x"].clone().requires_grad_(true);
    const Tensor output = network->forward(x, {time, fixture.labels()});
    expect_parity({fixture.name, "output"}, relative(output, fixture["output"]), 2e-5);

    (output * fixture["g"]).sum().backward();
    expect_parity({fixture.name, "gradient of x"}, relative(x.grad(), fixture["grad_x"]), 1e-4);
    test::expect_gradients(fixture, "", *network);
  });
}

}  // namespace
}  // namespace cm
