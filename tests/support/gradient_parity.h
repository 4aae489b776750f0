// The gradients of a network against a fixture's: PREFIXgrad.NAME whole, or PREFIXgraddigest.NAME, the four
// numbers Σ g, ‖g‖, Σ g_i cos(0.7 i) and max |g|.
#pragma once

#include <gtest/gtest.h>

#include "support/closeness.h"
#include "support/fixtures.h"

namespace cm::test {

// The largest gradient entry of the whole network: the scale on which all are compared, because some true
// gradients are 0 and the stored ones rounding noise.
inline double gradient_scale(const Fixture& fixture, const std::string& prefix) {
  double scale = 0;
  for (const auto& [name, tensor] : fixture.tensors) {
    if (name.starts_with(prefix + "grad.")) scale = std::max(scale, largest(tensor));
    if (name.starts_with(prefix + "graddigest.")) scale = std::max(scale, tensor[3].item<double>());
  }
  return scale;
}

inline void expect_digest(const Tensor& gradient, const Tensor& digest, double scale) {
  const Tensor g = gradient.to(torch::kFloat64).flatten();
  const auto value = [&](int64_t i) { return digest[i].item<double>(); };
  const Tensor cosines = (0.7 * torch::arange(g.numel(), torch::kFloat64)).cos();
  const double sum_tolerance = 5e-4 * (scale + value(1));
  EXPECT_NEAR(g.sum().item<double>(), value(0), sum_tolerance);
  EXPECT_NEAR(g.norm().item<double>(), value(1), 1e-4 * scale);
  EXPECT_NEAR(g.dot(cosines).item<double>(), value(2), sum_tolerance);
  EXPECT_NEAR(largest(g), value(3), 1e-4 * scale);
}

inline void expect_gradients(const Fixture& fixture, const std::string& prefix,
                             const torch::nn::Module& network) {
  const double scale = gradient_scale(fixture, prefix);
  for (const auto& parameter : network.named_parameters()) {
    SCOPED_TRACE("gradient of " + parameter.key());
    const Tensor& gradient = parameter.value().grad();
    if (fixture.has(prefix + "grad." + parameter.key())) {
      const Tensor& expected = fixture[prefix + "grad." + parameter.key()];
      EXPECT_LT(largest_difference(gradient, expected), 1e-4 * scale);
    } else {
      expect_digest(gradient, fixture[prefix + "graddigest." + parameter.key()], scale);
    }
  }
}

}  // namespace cm::test
