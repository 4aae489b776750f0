// Data in the plane whose denoiser and consistency function are known, and a range of levels short enough for
// a small network.
#pragma once

#include "cm/diffusion/gaussian_mixture.h"

namespace cm::test {

inline constexpr SigmaOptions kShortRange{.min = 0.02, .max = 10, .data = 1};

inline GaussianMixture two_clusters() {
  return {torch::tensor({{-1.0, 0.4}, {0.8, -0.5}}, torch::kFloat64),
          torch::tensor({0.4, 0.6}, torch::kFloat64), torch::full({2}, 0.35, torch::kFloat64)};
}

}  // namespace cm::test
