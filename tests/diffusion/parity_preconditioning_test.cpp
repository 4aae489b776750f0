// Scalings, network time and weightings against the official release's numbers
// (tests/fixtures/preconditioning*.safetensors), in both precisions.
#include <gtest/gtest.h>

#include "cm/diffusion/preconditioning.h"
#include "cm/diffusion/weighting.h"
#include "support/closeness.h"
#include "support/fixture_sigma.h"
#include "support/fixtures.h"

namespace cm {
namespace {

using test::elementwise_difference;
using test::Fixture;

struct Precision {
  std::string prefix;
  double relative;
};

void check_scalings(const Fixture& fixture, const Precision& precision, const std::string& name,
                    const Scalings& ours) {
  SCOPED_TRACE(precision.prefix + name);
  const auto theirs = [&](const std::string& scaling) { return fixture[precision.prefix + name + scaling]; };
  EXPECT_LT(elementwise_difference(ours.c_skip, theirs(".c_skip")), precision.relative);
  EXPECT_LT(elementwise_difference(ours.c_in, theirs(".c_in")), precision.relative);
  if (name == "consistency" && precision.prefix == "f32.") {
    // A difference of near numbers: 0 at σ_min.
    EXPECT_LT(test::largest_difference(ours.c_out, theirs(".c_out")), 1e-7);
  } else {
    EXPECT_LT(elementwise_difference(ours.c_out, theirs(".c_out")), precision.relative);
  }
}

void check_weightings(const Fixture& fixture, const Precision& precision, const Tensor& sigma,
                      double sigma_data) {
  for (const auto& name : all_names<Weighting>()) {
    const Tensor ours = weight(*from_name<Weighting>(name), sigma, sigma_data);
    EXPECT_LT(elementwise_difference(ours, fixture[precision.prefix + "weight." + name]), precision.relative)
        << precision.prefix << name;
  }
}

TEST(ParityPreconditioning, AgreesWithTheReference) {
  for (const auto& fixture : test::fixtures("preconditioning")) {
    SCOPED_TRACE(fixture.name);
    const SigmaOptions options = test::sigma_options(fixture.config);
    for (const auto& precision : {Precision{"f64.", 1e-12}, Precision{"f32.", 2e-6}}) {
      const Tensor& sigma = fixture[precision.prefix + "sigma"];
      check_scalings(fixture, precision, "edm", scalings(Parameterization::edm, options, sigma));
      check_scalings(fixture, precision, "consistency", scalings(Parameterization::skip, options, sigma));
      EXPECT_LT(elementwise_difference(network_time(sigma, 1000), fixture[precision.prefix + "network_time"]),
                precision.relative);
      check_weightings(fixture, precision, sigma, options.data);
    }
  }
}

}  // namespace
}  // namespace cm
