#include "cm/training/distance_function.h"

#include <gmock/gmock.h>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"
#include "support/synthetic_lpips.h"

namespace cm {
namespace {

using testing::HasSubstr;

Tensor some_images(uint64_t seed, int64_t side) {
  return (0.5 * normal({.seed = seed}, sample_range(0, 1), {3, side, side})).clamp(-1, 1);
}

TEST(DistanceFunction, FormulasAreThoseOfTheirName) {
  const Tensor a = some_images(1, 8);
  const Tensor b = some_images(2, 8);
  for (const auto& [kind, name] : EnumNames<Distance>::names) {
    if (kind == Distance::lpips) continue;
    EXPECT_TRUE(torch::equal(make_distance({.kind = kind})(a, b), distance(kind, a, b))) << name;
  }
  const DistanceFunction huber = make_distance({.kind = Distance::pseudo_huber, .huber_c = 0.1});
  EXPECT_TRUE(torch::equal(huber(a, b), distance(Distance::pseudo_huber, a, b, 0.1)));
}

TEST(DistanceFunction, LpipsIsThatOfTheResizedImages) {
  const auto lpips = test::synthetic_lpips();
  const torch::NoGradGuard guard;
  const Tensor a = some_images(1, 12);
  const Tensor b = some_images(2, 12);
  const Tensor d = make_distance({.kind = Distance::lpips}, lpips)(a, b);
  EXPECT_TRUE(torch::equal(d, lpips->forward(lpips_sized(a), lpips_sized(b))));
}

TEST(DistanceFunction, LpipsNeedsItsNetwork) {
  const auto message = test::message_of<c10::Error>([] { make_distance({.kind = Distance::lpips}); });
  EXPECT_THAT(message, HasSubstr("distance lpips needs its network"));
}

}  // namespace
}  // namespace cm
