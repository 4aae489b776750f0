// Philox 4x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four random
// words of a counter and a key, on the host and in kernels for GPUs.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define CM_ON_ANY_DEVICE __host__ __device__
#else
#define CM_ON_ANY_DEVICE
#endif

namespace cm {

// What a round multiplies by, and what its keys grow by.
inline constexpr uint32_t kPhiloxFactor0 = 0xD2511F53;
inline constexpr uint32_t kPhiloxFactor1 = 0xCD9E8D57;
inline constexpr uint32_t kPhiloxGrowth0 = 0x9E3779B9;
inline constexpr uint32_t kPhiloxGrowth1 = 0xBB67AE85;
inline constexpr int kPhiloxRounds = 10;

struct PhiloxBlock {
  uint32_t words[4];
};

// Always inlined, so that a loop over counters becomes vector instructions of the function that it stands in.
[[gnu::always_inline]] CM_ON_ANY_DEVICE inline PhiloxBlock philox(uint64_t key, const PhiloxBlock& counter) {
  uint32_t c0 = counter.words[0], c1 = counter.words[1], c2 = counter.words[2], c3 = counter.words[3];
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxFactor0} * c0;
    const uint64_t p1 = uint64_t{kPhiloxFactor1} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += kPhiloxGrowth0;
    k1 += kPhiloxGrowth1;
  }
  return {{c0, c1, c2, c3}};
}

}  // namespace cm
