// DiT's and SiT's network against their code (tests/fixtures/dit*.safetensors): output, gradient of the input
// and of every parameter, for L = Σ output · g.
#include <gtest/gtest.h>

#include "cm/nn/networks.h"
#include "src/nn/dit_blocks.h"
#include "support/formula_weights.h"
#include "support/gradient_parity.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;

DitOptions dit_of(const Fixture& fixture) {
  const Json& network = fixture.config.at("network");
  DitOptions options;
  options.width = network.at("hidden_size").get<int64_t>();
  options.depth = network.at("depth").get<int64_t>();
  options.heads = network.at("num_heads").get<int64_t>();
  options.patch = network.at("patch_size").get<int64_t>();
  options.mlp_ratio = network.at("mlp_ratio").get<double>();
  options.learned_variance = network.at("learn_sigma").get<bool>();
  options.second_time = fixture.config.at("second_time").get<bool>();
  return options;
}

ImageSpec dit_image_of(const Json& network) {
  return {.channels = network.at("in_channels").get<int64_t>(),
          .size = network.at("input_size").get<int64_t>(),
          .classes = network.at("num_classes").get<int64_t>()};
}

void check_dit(const Fixture& fixture) {
  const DitOptions options = dit_of(fixture);
  const ImageSpec image = dit_image_of(fixture.config.at("network"));
  const int64_t side = image.size / options.patch;
  expect_parity(
      {fixture.name, "positions"},
      test::absolute(token_positions(side, side, options.width, torch::kFloat32), fixture["pos_embed"]),
      1e-6);

  const auto network = make_network(options, image);
  network->to(test::parity_device());
  copy_weights(test::checked_formula_weights(fixture), *network, fixture.name);
  const Tensor x = fixture["x"].clone().requires_grad_(true);
  const Tensor second = options.second_time ? fixture["second_times"] : Tensor();
  const Tensor output = network->forward(x, {fixture["times"], fixture.labels(), second});
  expect_parity({fixture.name, "output"}, test::relative(output, fixture["output"]), 2e-5);

  (output * fixture["g"]).sum().backward();
  expect_parity({fixture.name, "gradient of x"}, test::relative(x.grad(), fixture["grad_x"]), 1e-4);
  test::expect_gradients(fixture, "", *network);
}

TEST(ParityDit, AgreesWithItsCode) {
  test::check_cases("dit", check_dit);
}

}  // namespace
}  // namespace cm
