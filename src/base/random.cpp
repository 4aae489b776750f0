#include "cm/base/random.h"

#include <torch/types.h>

#include <numeric>

namespace cm {

uint64_t RandomKey::bits(uint32_t sample, uint32_t block) const {
  const PhiloxBlock drawn = this->block(sample, block);
  return (static_cast<uint64_t>(drawn.words[0]) << 32) | drawn.words[1];
}

double RandomKey::uniform(uint32_t sample, uint32_t block) const {
  return static_cast<double>(bits(sample, block) >> 11) * 0x1p-53;
}

int64_t RandomKey::below(int64_t n, uint32_t sample, uint32_t block) const {
  // The high half of a 64 × 64-bit product; its bias is at most n / 2^64.
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>((static_cast<Wide>(bits(sample, block)) * static_cast<Wide>(n)) >> 64);
}

Tensor uniform(const RandomKey& key, const std::vector<int64_t>& samples) {
  Tensor result = torch::empty({static_cast<int64_t>(samples.size())}, torch::kFloat64);
  double* out = result.data_ptr<double>();
  for (const int64_t sample : samples) *out++ = key.uniform(static_cast<uint32_t>(sample));
  return result;
}

std::vector<int64_t> sample_range(int64_t first, int64_t count) {
  std::vector<int64_t> samples(static_cast<size_t>(count));
  std::iota(samples.begin(), samples.end(), first);
  return samples;
}

std::vector<int64_t> permutation(const RandomKey& key, int64_t n) {
  std::vector<int64_t> order = sample_range(0, n);
  for (int64_t i = n - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)],
              order[static_cast<size_t>(key.below(i + 1, static_cast<uint32_t>(i)))]);
  }
  return order;
}

}  // namespace cm
