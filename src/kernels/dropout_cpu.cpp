#include "dropout_cpu.h"

#include <algorithm>

#include "each_part.h"
#include "philox_blocks.h"

namespace cm::dropout_cpu {
namespace {

constexpr int64_t kPartsOfAThread = 64;

// `count` of a sample's counters, in the order of memory from number `first` on.
struct Part {
  int64_t sample;
  int64_t first;
  int64_t count;
};

[[gnu::always_inline]] inline void draw(const DropoutMask& mask, const Part& part, PhiloxWords& words) {
  uint32_t counters[kPhiloxBlocks];
  if (mask.channels_last) {
    int64_t four = part.first % mask.fours();
    int64_t position = part.first / mask.fours();
    for (uint32_t& counter : counters) {
      counter = static_cast<uint32_t>(four * mask.positions + position);
      if (++four == mask.fours()) {
        four = 0;
        ++position;
      }
    }
  } else {
    for (int64_t i = 0; i < kPhiloxBlocks; ++i) counters[i] = static_cast<uint32_t>(part.first + i);
  }
  philox_blocks(static_cast<uint64_t>(mask.keys[part.sample]), counters, mask.counter(0), words);
}

[[gnu::always_inline]] inline float kept(const DropoutMask& mask, float x, uint32_t word) {
  const float scaled = x * mask.scale;
  return mask.keeps(word) ? scaled : 0.0F;
}

// Of x and y of the sample.
[[gnu::always_inline]] inline void channel_by_channel(const DropoutMask& mask, const Part& part,
                                                      const PhiloxWords& words, const float* x, float* y) {
  for (int64_t i = 0; i < part.count;) {
    const int64_t four = (part.first + i) / mask.positions;
    const int64_t position = (part.first + i) % mask.positions;
    const int64_t positions = std::min(part.count - i, mask.positions - position);
    for (int64_t k = 0; k < std::min<int64_t>(4, mask.channels - 4 * four); ++k) {
      const int64_t start = (4 * four + k) * mask.positions + position;
      for (int64_t j = 0; j < positions; ++j) y[start + j] = kept(mask, x[start + j], words[k][i + j]);
    }
    i += positions;
  }
}

[[gnu::always_inline]] inline void position_by_position(const DropoutMask& mask, const Part& part,
                                                        const PhiloxWords& words, const float* x, float* y) {
  if (mask.channels % 4 == 0) {
    const int64_t start = 4 * part.first;
    for (int64_t i = 0; i < part.count; ++i) {
      for (int64_t k = 0; k < 4; ++k) y[start + 4 * i + k] = kept(mask, x[start + 4 * i + k], words[k][i]);
    }
    return;
  }
  for (int64_t i = 0; i < part.count; ++i) {
    const int64_t channel = 4 * ((part.first + i) % mask.fours());
    const int64_t start = (part.first + i) / mask.fours() * mask.channels + channel;
    for (int64_t k = 0; k < std::min<int64_t>(4, mask.channels - channel); ++k) {
      y[start + k] = kept(mask, x[start + k], words[k][i]);
    }
  }
}

struct Apply {
  DropoutMask mask;
  const float* x;
  float* y;

  int64_t counters() const { return mask.fours() * mask.positions; }  // of a sample
  int64_t parts() const { return (counters() + kPhiloxBlocks - 1) / kPhiloxBlocks; }

  template <class V>
  [[gnu::always_inline]] void run(int64_t number) const {
    const int64_t first = number % parts() * kPhiloxBlocks;
    const Part part{
        .sample = number / parts(), .first = first, .count = std::min(kPhiloxBlocks, counters() - first)};
    PhiloxWords words;
    draw(mask, part, words);
    const int64_t start = part.sample * mask.channels * mask.positions;
    if (mask.channels_last) {
      position_by_position(mask, part, words, x + start, y + start);
    } else {
      channel_by_channel(mask, part, words, x + start, y + start);
    }
  }
};

}  // namespace

void apply(const DropoutMask& mask, const float* x, float* y) {
  const Apply pass{.mask = mask, .x = x, .y = y};
  each_part(pass, mask.batch * pass.parts(), kPartsOfAThread);
}

}  // namespace cm::dropout_cpu
