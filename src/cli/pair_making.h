// The pairs of cm-sample --pairs (cm/data/pairs.h): a set is made file after file, each by one process.
#pragma once

#include <filesystem>
#include <functional>

#include "cm/data/pairs.h"
#include "cm/distributed/world.h"
#include "cm/training/sampling.h"

namespace cm {

// InputError where the walk draws noise, so that its start alone does not decide where it ends.
void refuse_drawn_noise(const SamplerOptions& sampler);

// Starts and ends of the walks first … first + n − 1, fp32 [n, C, S, S], and their labels, where there are
// classes.
struct Walks {
  Tensor x_T;
  Tensor x;
  Tensor labels;
};
using TakeWalks = std::function<Walks(int64_t first, int64_t n)>;

// Makes those files of the set that are not in the folder, by all ranks together, `batch` walks at once;
// `anew`: all of them, in the place of any that are there. InputError when a walk ends in no image.
void make_pairs(const World& world, const std::filesystem::path& folder, const PairSet& set, int64_t batch,
                bool anew, const TakeWalks& take);

}  // namespace cm
