// How the group normalisation's kernels for GPUs divide an input among blocks of threads, and how large these
// are. Plain arithmetic, the same for a launch and for a test that has no GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "group_norm_input.h"

namespace cm::group_norm_cuda {

inline constexpr int kThreads = 256;  // of a block

// A block works on one slice of one image's positions in one set of its channels, which is some whole groups.
// Where there is one slice, the block that sums over it writes the result too; else a second launch does.
struct Plan {
  NormLayout layout;
  int channels;
  int positions;
  int groups;
  int vector;           // numbers that a thread loads at once: 16 bytes of them, or one
  int set;              // channels of a block; the last of an image may have fewer
  int sets;             // of an image
  int slice;            // positions of a block; the last may have fewer
  int slices;           // of an image
  int lanes;            // neighbouring threads: along a position's channels, or along a channel's positions
  int64_t blocks;       // of a launch
  size_t shared_bytes;  // of a block; at most the 48 KiB that every GPU gives without being asked
};

struct PlannedInput {
  int64_t batch;
  int64_t channels;
  int64_t seam;  // the channels of the first of two arrays, or all (joined_arrays.h)
  int64_t positions;
  int64_t groups;
  NormLayout layout;
  int bytes;     // of a number of x
  bool aligned;  // whether all of its arrays start at multiples of 16 bytes
};

// Nothing where an image has more than 2³⁰ numbers, or a group more channels than a block can hold (1024).
std::optional<Plan> plan_for(const PlannedInput& input, int multiprocessors);

// The numbers of workspace (fp32, at a multiple of 8 bytes) that the passes with this plan need.
int64_t forward_workspace(const Plan& plan, int64_t batch);
int64_t backward_workspace(const Plan& plan, int64_t batch);

}  // namespace cm::group_norm_cuda
