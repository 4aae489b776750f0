// Upper ends of the whole numbers that size a loop or an array: beyond any use, and small enough that none of
// their products that count something overflows.
#pragma once

#include <cstdint>

namespace cm {

inline constexpr int64_t kMostSteps = 1'000'000'000'000;  // of training
inline constexpr int64_t kMostAtOnce = 1 << 20;           // images of a batch
inline constexpr int64_t kMostSamples = 10'000'000;       // images that are asked for together
inline constexpr int64_t kMostLevels = 1 << 20;           // of noise, and steps of sampling
inline constexpr int64_t kMostClasses = 1 << 20;
inline constexpr int64_t kMostChannels = 1 << 14;    // of a network, before they are multiplied
inline constexpr int64_t kLargestMultiplier = 1024;  // of those channels
inline constexpr int64_t kMostBlocks = 64;           // residual blocks of a level
inline constexpr int64_t kMostThreads = 1024;
inline constexpr int64_t kMostRepeats = 1'000'000;              // of what is timed
inline constexpr int64_t kLargestSide = 4096;                   // of an image, in pixels
inline constexpr int64_t kLargestSeed = 9'007'199'254'740'992;  // 2⁵³: up to here doubles hold every one

}  // namespace cm
