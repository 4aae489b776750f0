// LPIPS against the official release's (tests/fixtures/lpips*.safetensors), in the images' own size and
// resized as the training losses do: each layer's term, the distance, its gradient, and the features' means.
#include <gtest/gtest.h>

#include "cm/nn/lpips.h"
#include "cm/nn/network.h"
#include "support/formula_weights.h"
#include "support/parity_device.h"

namespace cm {
namespace {

using test::elementwise;
using test::expect_parity;
using test::Fixture;

void check_native(const Fixture& fixture, const std::string& pair, const Lpips& lpips) {
  const Tensor& a = fixture[pair + ".a"];
  const Tensor& b = fixture[pair + ".b"];
  const std::string part = fixture.part(pair + ".native");
  const auto theirs = [&](const char* tensor) { return fixture[pair + ".native." + tensor]; };
  expect_parity({part, "terms of the layers"}, elementwise(lpips.per_layer(a, b), theirs("per_layer")), 1e-4);
  expect_parity({part, "distance"}, elementwise(lpips.forward(a, b), theirs("distance")), 1e-4);
  std::vector<Tensor> means;
  for (const auto& features : lpips.features(a)) means.push_back(features.mean());
  expect_parity({part, "means of the features"}, elementwise(torch::stack(means), theirs("feature_mean")),
                1e-4);
}

void check_resized(const Fixture& fixture, const std::string& pair, const Lpips& lpips) {
  const Tensor a = fixture[pair + ".a"].clone().requires_grad_(true);
  const std::string part = fixture.part(pair + ".resized224");
  const auto theirs = [&](const char* tensor) { return fixture[pair + ".resized224." + tensor]; };
  const Tensor terms = lpips.per_layer(lpips_sized(a), lpips_sized(fixture[pair + ".b"]));
  expect_parity({part, "terms of the layers"}, elementwise(terms, theirs("per_layer")), 1e-4);
  expect_parity({part, "distance"}, elementwise(terms.sum(1), theirs("distance")), 1e-4);
  terms.sum().backward();
  expect_parity({part, "gradient of a"}, test::relative(a.grad(), theirs("grad_a")), 3e-3);
}

TEST(ParityLpips, AgreesWithTheReference) {
  test::check_cases("lpips", [](const Fixture& fixture) {
    Lpips lpips;
    lpips.to(test::parity_device());
    copy_weights(test::checked_formula_weights(fixture), lpips, fixture.name);
    ASSERT_TRUE(fixture.has("pair0.a"));
    for (int i = 0; fixture.has("pair" + std::to_string(i) + ".a"); ++i) {
      const std::string pair = "pair" + std::to_string(i);
      check_native(fixture, pair, lpips);
      check_resized(fixture, pair, lpips);
    }
  });
}

}  // namespace
}  // namespace cm
