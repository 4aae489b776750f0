#include "cm/base/random.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "cm/base/error.h"

namespace cm {
namespace {

// Box–Muller: two unit normals from 2 × 32 bits, in fp32. u1 in (0, 1] keeps the logarithm finite.
inline void box_muller(uint32_t a, uint32_t b, float* out) {
  const float u1 = (static_cast<float>(a >> 8) + 1.0F) * 0x1p-24F;
  const float angle = static_cast<float>(b >> 8) * (2.0F * std::numbers::pi_v<float> * 0x1p-24F);
  const float radius = std::sqrt(-2.0F * std::log(u1));
  out[0] = radius * std::cos(angle);
  out[1] = radius * std::sin(angle);
}

std::array<uint32_t, 4> block_of(const RandomKey& key, uint32_t sample, uint32_t block) {
  return philox(key.seed, {block, sample, key.step, static_cast<uint32_t>(key.purpose)});
}

}  // namespace

std::array<uint32_t, 4> philox(uint64_t seed, const std::array<uint32_t, 4>& counter) {
  auto c = counter;
  auto k0 = static_cast<uint32_t>(seed);
  auto k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

uint64_t RandomKey::bits(uint32_t sample, uint32_t block) const {
  const auto words = block_of(*this, sample, block);
  return (static_cast<uint64_t>(words[0]) << 32) | words[1];
}

double RandomKey::uniform(uint32_t sample, uint32_t block) const {
  return static_cast<double>(bits(sample, block) >> 11) * 0x1p-53;
}

int64_t RandomKey::below(int64_t n, uint32_t sample, uint32_t block) const {
  // The high half of a 64 × 64-bit product; its bias is at most n / 2^64.
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>((static_cast<Wide>(bits(sample, block)) * static_cast<Wide>(n)) >> 64);
}

Tensor normal(const RandomKey& key, const std::vector<int64_t>& samples, const std::vector<int64_t>& shape,
              bool pinned) {
  std::vector<int64_t> full = {static_cast<int64_t>(samples.size())};
  full.insert(full.end(), shape.begin(), shape.end());
  Tensor result = torch::empty(full, torch::TensorOptions().dtype(torch::kFloat32).pinned_memory(pinned));
  const int64_t per_row = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  float* data = result.data_ptr<float>();
  constexpr int64_t kRowsAtLeast = 1;
  at::parallel_for(0, full[0], kRowsAtLeast, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const auto sample = static_cast<uint32_t>(samples[static_cast<size_t>(row)]);
      float* out = data + row * per_row;
      for (int64_t i = 0; i < per_row; i += 4) {
        const auto words = block_of(key, sample, static_cast<uint32_t>(i / 4));
        std::array<float, 4> four{};
        box_muller(words[0], words[1], four.data());
        box_muller(words[2], words[3], four.data() + 2);
        std::copy_n(four.data(), std::min<int64_t>(4, per_row - i), out + i);
      }
    }
  });
  return result;
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
