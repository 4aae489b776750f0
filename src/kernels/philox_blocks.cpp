#include "philox_blocks.h"

#include <cstring>

#include "processor.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cm {
namespace {

using Filler = void (*)(uint64_t, const uint32_t (&)[kPhiloxBlocks], const PhiloxBlock&, PhiloxWords&);

void fill_anywhere(uint64_t key, const uint32_t (&firsts)[kPhiloxBlocks], const PhiloxBlock& counter,
                   PhiloxWords& words) {
  for (int64_t i = 0; i < kPhiloxBlocks; ++i) {
    PhiloxBlock own = counter;
    own.words[0] = firsts[i];
    const PhiloxBlock block = philox(key, own);
    for (int64_t k = 0; k < 4; ++k) words[k][i] = block.words[k];
  }
}

#if defined(__x86_64__)

using Words8 [[gnu::vector_size(32)]] = uint32_t;

struct Product {
  Words8 high;
  Words8 low;
};

// The compiler's own vectors of such products are slower than no vectors.
CM_TARGET_AVX2 [[gnu::always_inline]] inline Product product_of(Words8 a, uint32_t factor) {
  constexpr int kOdd = 0xaa;
  const auto words = reinterpret_cast<__m256i>(a);
  const __m256i factors = _mm256_set1_epi32(static_cast<int>(factor));
  const __m256i even = _mm256_mul_epu32(words, factors);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(words, 32), factors);
  return {reinterpret_cast<Words8>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, kOdd)),
          reinterpret_cast<Words8>(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), kOdd))};
}

CM_TARGET_AVX2 void fill_avx2(uint64_t key, const uint32_t (&firsts)[kPhiloxBlocks],
                              const PhiloxBlock& counter, PhiloxWords& words) {
  for (int64_t i = 0; i < kPhiloxBlocks; i += 8) {
    Words8 c[4];
    for (int64_t k = 1; k < 4; ++k) c[k] = Words8{} + counter.words[k];
    std::memcpy(&c[0], firsts + i, sizeof(Words8));
    auto k0 = static_cast<uint32_t>(key);
    auto k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const Product p0 = product_of(c[0], kPhiloxFactor0);
      const Product p1 = product_of(c[2], kPhiloxFactor1);
      c[0] = p1.high ^ c[1] ^ k0;
      c[1] = p1.low;
      c[2] = p0.high ^ c[3] ^ k1;
      c[3] = p0.low;
      k0 += kPhiloxGrowth0;
      k1 += kPhiloxGrowth1;
    }
    for (int64_t k = 0; k < 4; ++k) std::memcpy(words[k] + i, &c[k], sizeof(Words8));
  }
}

#else
constexpr Filler fill_avx2 = fill_anywhere;
#endif

}  // namespace

void philox_blocks(uint64_t key, const uint32_t (&firsts)[kPhiloxBlocks], const PhiloxBlock& counter,
                   PhiloxWords& words) {
  by_processor<Filler>(fill_anywhere, fill_avx2, fill_avx2)(key, firsts, counter, words);
}

}  // namespace cm
