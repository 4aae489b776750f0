// Sets of pairs (cm/data/pairs.h) that are random.
#pragma once

#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/data/pairs.h"
#include "cm/kernels/normal.h"

namespace cm::test {

struct RandomPairs {
  Tensor x_T;
  Tensor x;
  Tensor labels;  // 0, 1, … in turns, where the set has classes
};

// Those of a set.
inline RandomPairs random_pairs(const PairSet& set) {
  const auto draw = [&](uint64_t seed) {
    return normal({.seed = seed}, sample_range(0, set.count), {set.channels, set.image_size, set.image_size});
  };
  return {set.sigma_max * draw(31), draw(32).clamp(-1, 1),
          set.classes > 0 ? torch::arange(set.count).remainder(set.classes) : Tensor()};
}

// Writes them into a folder, in files of `a_file` pairs.
inline RandomPairs save_random_pairs(const std::filesystem::path& folder, const PairSet& set,
                                     int64_t a_file) {
  std::filesystem::create_directories(folder);
  const RandomPairs all = random_pairs(set);
  for (int64_t first = 0; first < set.count; first += a_file) {
    const int64_t n = std::min(a_file, set.count - first);
    const SetFile file{folder / concat("pairs-00000", first / a_file, ".safetensors"), first, n};
    save_pairs(file, set, rows_of(all.x_T, first, n), rows_of(all.x, first, n),
               rows_of(all.labels, first, n));
  }
  return all;
}

}  // namespace cm::test
