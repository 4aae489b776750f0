// EDM2's network against its code (tests/fixtures/edm2*.safetensors): output, gradient of the input and of
// every parameter, for L = Σ output · g. Its training step is tests/training/parity_edm2_test.cpp's.
#include <gtest/gtest.h>

#include "support/edm2_fixture.h"
#include "support/edm_network_parity.h"
#include "support/formula_weights.h"

namespace cm {
namespace {

using test::Fixture;

void check_edm2(const Fixture& fixture) {
  const Json& arguments = fixture.config.at("network");
  const auto network = make_network(test::edm2_options(arguments), test::edm2_image(arguments));
  const NamedTensors weights = test::edm2_part(test::checked_formula_weights(fixture), /*of_loss=*/false);
  EXPECT_EQ(parameter_count(*network), fixture.config.at("parameters").get<int64_t>());
  test::expect_edm_network(fixture, *network, weights);
}

TEST(ParityEdm2, AgreesWithItsCode) {
  test::check_cases("edm2", check_edm2);
}

}  // namespace
}  // namespace cm
