// The launches of multi_tensor_cuda.h; launch(kernel, blocks, bytes of shared memory, its argument).
#pragma once

#include "multi_tensor_kernels.cuh"

namespace cm::multi_tensor_cuda {

template <class Launch>
void launch_norm(const Launch& launch, const Lists& lists, double* workspace, float* norm) {
  int64_t blocks = 0;
  for_each_table(lists, [&](const Table& table, int64_t before) {
    const SquaresJob job = {.table = table, .sums = workspace + before};
    launch(sum_squares, table.first_block[table.tensors], kSumBytes, job);
    blocks = before + table.first_block[table.tensors];
  });
  launch(root_of_sum, 1, kSumBytes, RootJob{.sums = workspace, .count = blocks, .norm = norm});
}

template <class Launch>
void launch_adam(const Launch& launch, const Lists& lists, const AdamRule& rule,
                 const AdamNumberPointers& numbers, AdamScalars* workspace) {
  launch(set_scalars, 1, 0, ScalarsJob{.rule = rule, .numbers = numbers, .scalars = workspace});
  for_each_table(lists, [&](const Table& table, int64_t) {
    launch(update_adam, table.first_block[table.tensors], 0, AdamJob{.table = table, .scalars = workspace});
  });
}

// As many averages a launch as its table has lists for.
template <class Launch>
void launch_averages(const Launch& launch, const Lists& lists, const std::vector<const double*>& rates,
                     const bool* usable) {
  constexpr size_t kMost = kMostLists - 1;
  for (size_t first = 0; first < rates.size(); first += kMost) {
    const size_t end = std::min(rates.size(), first + kMost);
    Lists some = {.counts = lists.counts, .arrays = {lists.arrays.front()}};
    AveragesJob job = {.table = {}, .usable = usable, .rates = {}};
    for (size_t i = first; i < end; ++i) {
      some.arrays.push_back(lists.arrays[i + 1]);
      job.rates[i - first] = rates[i];
    }
    for_each_table(some, [&](const Table& table, int64_t) {
      job.table = table;
      launch(update_all, table.first_block[table.tensors], kRateBytes, job);
    });
  }
}

}  // namespace cm::multi_tensor_cuda
