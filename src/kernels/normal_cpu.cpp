#include "normal_cpu.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "normal_numbers.h"
#include "philox_blocks.h"
#include "processor.h"

namespace cm::normal_cpu {
namespace {

constexpr int64_t kNumbers = 4 * kPhiloxBlocks;  // that are made at a time
constexpr int64_t kPartsOfAThread = 64;

int64_t parts_of(const NormalRows& rows) {
  return (rows.width + kNumbers - 1) / kNumbers;
}

// Part number `part` of all rows'.
[[gnu::always_inline]] inline void run(const NormalRows& rows, int64_t part) {
  const int64_t row = part / parts_of(rows);
  const int64_t first = part % parts_of(rows) * kNumbers;
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

using Runner = void (*)(const NormalRows&, int64_t, int64_t);

CM_TARGET_AVX512 void run_avx512(const NormalRows& rows, int64_t first, int64_t end) {
  for (int64_t part = first; part < end; ++part) run(rows, part);
}

CM_TARGET_AVX2 void run_avx2(const NormalRows& rows, int64_t first, int64_t end) {
  for (int64_t part = first; part < end; ++part) run(rows, part);
}

void run_anywhere(const NormalRows& rows, int64_t first, int64_t end) {
  for (int64_t part = first; part < end; ++part) run(rows, part);
}

}  // namespace

void fill(const NormalRows& rows) {
  const auto runner = by_processor<Runner>(run_anywhere, run_avx2, run_avx512);
  at::parallel_for(0, rows.count * parts_of(rows), kPartsOfAThread,
                   [&](int64_t first, int64_t end) { runner(rows, first, end); });
}

}  // namespace cm::normal_cpu
