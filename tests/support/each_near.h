// EXPECT_THAT(numbers, each_near({80, 2.2404}, 1e-4)): as many numbers, each within the tolerance.
#pragma once

#include <gmock/gmock.h>

#include <vector>

namespace cm::test {

inline auto each_near(const std::vector<double>& expected, double tolerance) {
  return testing::Pointwise(testing::DoubleNear(tolerance), expected);
}

}  // namespace cm::test
