// Scalings, network time and weightings against the official release's numbers
// (tests/fixtures/preconditioning*.safetensors), in both precisions.
#include <gtest/gtest.h>

#include "cm/diffusion/preconditioning.h"
#include "cm/diffusion/weighting.h"
#include "support/fixture_sigma.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::elementwise;
using test::expect_parity;
using test::Fixture;

constexpr double kReleaseTimeScale = 1000;

// The tensors of one precision, "f32.NAME" or "f64.NAME".
struct Precision {
  const Fixture& fixture;
  std::string name;
  double tolerance;

  const Tensor& operator[](const std::string& quantity) const { return fixture[name + "." + quantity]; }
  test::ParityQuantity of(const std::string& quantity) const { return {fixture.part(name), quantity}; }
  void expect(const std::string& quantity, const Tensor& ours) const {
    expect_parity(of(quantity), elementwise(ours, (*this)[quantity]), tolerance);
  }
};

void check_scalings(const Precision& theirs, const SigmaOptions& options) {
  const Scalings edm = scalings(Parameterization::edm, options, theirs["sigma"]);
  theirs.expect("edm.c_skip", edm.c_skip);
  theirs.expect("edm.c_out", edm.c_out);
  theirs.expect("edm.c_in", edm.c_in);

  const Scalings consistency = scalings(Parameterization::skip, options, theirs["sigma"]);
  theirs.expect("consistency.c_skip", consistency.c_skip);
  theirs.expect("consistency.c_in", consistency.c_in);
  if (theirs.name == "f32") {
    // A difference of near numbers: 0 at σ_min.
    expect_parity(theirs.of("consistency.c_out"),
                  test::relative(consistency.c_out, theirs["consistency.c_out"]), 2e-7);
  } else {
    theirs.expect("consistency.c_out", consistency.c_out);
  }
}

void check_weightings(const Precision& theirs, double sigma_data) {
  theirs.expect("snr", weight(Weighting::snr, theirs["sigma"], sigma_data));
  const std::string prefix = theirs.name + ".weight.";
  for (const auto& [name, tensor] : theirs.fixture.tensors) {
    if (!name.starts_with(prefix)) continue;
    const auto weighting = test::named<Weighting>(name.substr(prefix.size()));
    theirs.expect("weight." + to_string(weighting), weight(weighting, theirs["sigma"], sigma_data));
  }
}

TEST(ParityPreconditioning, AgreesWithTheReference) {
  test::check_cases("preconditioning", [](const Fixture& fixture) {
    const SigmaOptions options = test::sigma_options(fixture.config);
    for (const auto& theirs : {Precision{fixture, "f64", 1e-12}, Precision{fixture, "f32", 2e-6}}) {
      check_scalings(theirs, options);
      theirs.expect("network_time", network_time(theirs["sigma"], kReleaseTimeScale));
      check_weightings(theirs, options.data);
    }
  });
}

}  // namespace
}  // namespace cm
