#include "normal_cpu.h"

#include <algorithm>

#include "each_part.h"
#include "normal_numbers.h"
#include "philox_blocks.h"

namespace cm::normal_cpu {
namespace {

constexpr int64_t kNumbers = 4 * kPhiloxBlocks;  // that are made at a time
constexpr int64_t kPartsOfAThread = 64;

struct Fill {
  NormalRows rows;

  int64_t parts_of_a_row() const { return (rows.width + kNumbers - 1) / kNumbers; }

  template <class V>
  [[gnu::always_inline]] void run(int64_t part) const {
    const int64_t row = part / parts_of_a_row();
    const int64_t first = part % parts_of_a_row() * kNumbers;
    uint32_t blocks[kPhiloxBlocks];
    for (int64_t i = 0; i < kPhiloxBlocks; ++i) blocks[i] = static_cast<uint32_t>(first / 4 + i);
    PhiloxWords words;
    philox_blocks(rows.seed, blocks, rows.counter(row, 0), words);
    float z[4][kPhiloxBlocks];
    for (int64_t i = 0; i < kPhiloxBlocks; ++i) box_muller(words[0][i], words[1][i], z[0][i], z[1][i]);
    for (int64_t i = 0; i < kPhiloxBlocks; ++i) box_muller(words[2][i], words[3][i], z[2][i], z[3][i]);
    float* const out = rows.out + row * rows.width + first;
    const int64_t count = std::min(kNumbers, rows.width - first);
    for (int64_t i = 0; i < count / 4; ++i) {
      for (int64_t k = 0; k < 4; ++k) out[4 * i + k] = z[k][i];
    }
    for (int64_t i = count / 4 * 4; i < count; ++i) out[i] = z[i % 4][i / 4];
  }
};

}  // namespace

void fill(const NormalRows& rows) {
  const Fill pass{rows};
  each_part(pass, rows.count * pass.parts_of_a_row(), kPartsOfAThread);
}

}  // namespace cm::normal_cpu
