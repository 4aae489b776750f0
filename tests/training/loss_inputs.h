// What losses are tested with: three points in the plane, each with its own level, and a distance.
#pragma once

#include "cm/training/distance_function.h"
#include "support/random_batch.h"

namespace cm::test {

inline const DistanceFunction kL2 = make_distance({.kind = Distance::l2});

// N(0, 1), float64 [3, 2], a function of the seed.
inline Tensor three_points(uint64_t seed) {
  return random_points(3, 2, seed);
}

// float64 [3].
inline Tensor three_levels(double a, double b, double c) {
  return torch::tensor({a, b, c}, torch::kFloat64);
}

}  // namespace cm::test
