#include "cm/nn/resample.h"

#include <gtest/gtest.h>

#include "support/closeness.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::largest_difference;
using test::random_batch;

// [1, 1, side, side] whose value is the column's number.
Tensor ramp(int64_t side) {
  return torch::arange(side, torch::kFloat32).expand({1, 1, side, side});
}

// Without `edge` pixels on every side, where the zeros around the image reach.
Tensor inside(const Tensor& x, int64_t edge) {
  return x.slice(2, edge, -edge).slice(3, edge, -edge);
}

TEST(Resample, TheBoxAveragesAndRepeats) {
  const Tensor x = torch::tensor({1.0, 2.0, 3.0, 6.0}).view({1, 1, 2, 2});
  EXPECT_TRUE(torch::equal(resample(x, Resample::down), torch::full({1, 1, 1, 1}, 3.0)));
  const Tensor up = resample(x, Resample::up);
  EXPECT_TRUE(torch::equal(up.slice(3, 0, 4, 2), up.slice(3, 1, 4, 2)));
  EXPECT_TRUE(torch::equal(resample(up, Resample::down), x));
  EXPECT_TRUE(resample(x, Resample::none).is_same(x));
}

// Pixel j of a ramp of half the side lies at 2j + ½, pixel j of one of twice the side at j/2 − ¼.
TEST(Resample, TheBinomialFilterKeepsARamp) {
  const Tensor down = resample(ramp(12), Resample::down, ResampleFilter::binomial);
  EXPECT_LT(largest_difference(inside(down, 1), inside(2 * ramp(6) + 0.5, 1)), 1e-5);
  const Tensor up = resample(ramp(6), Resample::up, ResampleFilter::binomial);
  EXPECT_LT(largest_difference(inside(up, 1), inside(ramp(12) / 2 - 0.25, 1)), 1e-5);
}

// At the border one of the taps 1, 3, 3, 1 sees a zero: 7 of 8 are left on the way down, 3 of 4 on the way
// up.
TEST(Resample, BeyondTheBorderTheImageIsZero) {
  const Tensor ones = torch::ones({1, 1, 6, 6});
  const auto corner = [&](Resample direction) {
    return resample(ones, direction, ResampleFilter::binomial)[0][0][0][0].item<double>();
  };
  EXPECT_NEAR(corner(Resample::down), 49.0 / 64, 1e-6);
  EXPECT_NEAR(corner(Resample::up), 9.0 / 16, 1e-6);
}

// Σ up(x) y = 4 Σ x down(y) for either filter: the one is the other's transpose, times 4.
TEST(Resample, UpIsTheTransposeOfDown) {
  for (const auto filter : {ResampleFilter::box, ResampleFilter::binomial}) {
    const Tensor x = random_batch(1, {3, 4, 4});
    const Tensor y = random_batch(2, {3, 8, 8});
    const double up = (resample(x, Resample::up, filter) * y).sum().item<double>();
    const double down = (x * resample(y, Resample::down, filter)).sum().item<double>();
    EXPECT_NEAR(up, 4 * down, 1e-4);
  }
}

TEST(Resample, ChannelsDoNotMix) {
  const Tensor x = random_batch(1, {3, 4, 4});
  for (const auto direction : {Resample::up, Resample::down}) {
    const Tensor all = resample(x, direction, ResampleFilter::binomial);
    const Tensor second = resample(x.narrow(1, 1, 1), direction, ResampleFilter::binomial);
    EXPECT_LT(largest_difference(all.narrow(1, 1, 1), second), 1e-6);
  }
}

TEST(Resample, WithoutPaddingNoZeroIsSeen) {
  const Tensor down = binomial_down(torch::ones({2, 3, 10, 10}), 0);
  EXPECT_LT(largest_difference(down, torch::ones({2, 3, 4, 4})), 1e-6);
}

}  // namespace
}  // namespace cm
