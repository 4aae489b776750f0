#include "cm/diffusion/denoiser.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

TEST(Denoiser, ClampedKeepsTheOutputInRange) {
  const Denoiser echo = [](const Tensor& x, const Tensor&) { return x; };
  const Tensor x = torch::tensor({{-3.0, -0.5, 0.0, 1.5}});
  EXPECT_TRUE(torch::equal(clamped(echo)(x, torch::ones(1)), torch::tensor({{-1.0, -0.5, 0.0, 1.0}})));
}

}  // namespace
}  // namespace cm
