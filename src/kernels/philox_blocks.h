// Many Philox blocks (cm/base/philox.h) at a time, on the CPU.
#pragma once

#include "cm/base/philox.h"

namespace cm {

constexpr int64_t kPhiloxBlocks = 64;
using PhiloxWords = uint32_t[4][kPhiloxBlocks];

// words[k][i] = word k of philox(key, counter) with firsts[i] as the counter's first word.
void philox_blocks(uint64_t key, const uint32_t (&firsts)[kPhiloxBlocks], const PhiloxBlock& counter,
                   PhiloxWords& words);

}  // namespace cm
