// Work in batches, divided between the ranks.
#pragma once

#include <cstdint>
#include <functional>

#include "cm/distributed/world.h"

namespace cm {

// The things that fall to a rank where `count` of them are divided by whole batches of at most `batch`: first
// … first + count − 1.
Share share_in_batches(int64_t count, int64_t batch, const World& world);

// make(first, n) → [n, …] for batches of at most `batch` of `count` things, joined to [count, …] on the CPU
// of rank 0; undefined on the others. Each rank makes whole batches, the same as one process would, so that
// the result does not depend on the number of ranks. count and batch are at least 1. On rank 0 a progress bar
// says `what`, if that is given.
Tensor spread_batches(const World& world, int64_t count, int64_t batch,
                      const std::function<Tensor(int64_t first, int64_t n)>& make,
                      const std::string& what = "");

}  // namespace cm
