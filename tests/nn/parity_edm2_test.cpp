// EDM2's network against its code (tests/fixtures/edm2*.safetensors): output, gradient of the input and of
// every parameter, for L = Σ output · g. Its training step is tests/training/parity_edm2_test.cpp's.
#include <gtest/gtest.h>

#include "support/edm2_fixture.h"
#include "support/formula_weights.h"
#include "support/gradient_parity.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;
using test::relative;

void check_edm2(const Fixture& fixture) {
  const Json& arguments = fixture.config.at("network");
  const auto network = make_network(test::edm2_options(arguments), test::edm2_image(arguments));
  network->to(test::parity_device());
  const NamedTensors weights = test::edm2_part(test::checked_formula_weights(fixture), /*of_loss=*/false);
  copy_weights(test::from_edm_order(weights), *network, fixture.name);
  EXPECT_EQ(parameter_count(*network), fixture.config.at("parameters").get<int64_t>());

  const Tensor x = fixture["x"].clone().requires_grad_(true);
  const Tensor output = network->forward(x, {fixture["noise_labels"], fixture.labels()});
  expect_parity({fixture.name, "output"}, relative(output, fixture["output"]), 2e-5);

  (output * fixture["g"]).sum().backward();
  expect_parity({fixture.name, "gradient of x"}, relative(x.grad(), fixture["grad_x"]), 1e-4);
  test::expect_gradients(fixture, "", test::to_edm_order(test::gradients_of(*network)));
}

TEST(ParityEdm2, AgreesWithItsCode) {
  test::check_cases("edm2", check_edm2);
}

}  // namespace
}  // namespace cm
