// Which arrays the blocks of one launch work on. The table travels with the launch: arguments of a kernel may
// take 4 KiB, so a long list takes several launches.
#pragma once

#include <algorithm>
#include <cstdint>

#include "multi_tensor_cuda.h"

namespace cm::multi_tensor_cuda {

inline constexpr int kThreads = 256;     // of a block
inline constexpr int64_t kChunk = 8192;  // numbers of a block, of one array in each list
inline constexpr int kMostTensors = 80;
inline constexpr int kMostPointers = 320;
inline constexpr int kMostLists = 9;

struct Table {
  int tensors = 0;
  int lists = 0;
  int first_block[kMostTensors + 1] = {};  // of each tensor, then the number of all blocks
  int64_t counts[kMostTensors] = {};
  float* pointers[kMostPointers] = {};  // [lists, tensors]
};

inline int64_t blocks_of(int64_t count) {
  return (count + kChunk - 1) / kChunk;
}

// The sums that the norm adds up, one a block.
inline int64_t norm_workspace(const Lists& lists) {
  int64_t blocks = 0;
  for (const int64_t count : lists.counts) blocks += blocks_of(count);
  return blocks;
}

// run(table, blocks before it) for launches that cover all arrays, at most a billion blocks each.
template <class Run>
void for_each_table(const Lists& lists, const Run& run) {
  constexpr int64_t kMostBlocks = int64_t{1} << 30;
  const auto count = static_cast<int>(lists.arrays.size());
  const int most = std::min(kMostTensors, kMostPointers / count);
  int64_t before = 0;
  size_t next = 0;
  while (next < lists.counts.size()) {
    size_t chosen[kMostTensors];
    Table table;
    table.lists = count;
    for (; next < lists.counts.size() && table.tensors < most; ++next) {
      const int64_t blocks = blocks_of(lists.counts[next]);
      if (blocks == 0) continue;
      const int64_t end = table.first_block[table.tensors] + blocks;
      if (end > kMostBlocks) break;
      chosen[table.tensors] = next;
      table.counts[table.tensors] = lists.counts[next];
      table.first_block[++table.tensors] = static_cast<int>(end);
    }
    if (table.tensors == 0) return;
    for (int list = 0; list < count; ++list) {
      for (int i = 0; i < table.tensors; ++i) {
        table.pointers[list * table.tensors + i] = lists.arrays[static_cast<size_t>(list)][chosen[i]];
      }
    }
    run(table, before);
    before += table.first_block[table.tensors];
  }
}

}  // namespace cm::multi_tensor_cuda
