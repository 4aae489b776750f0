// What a training step holds and sends, by its configuration.
#pragma once

#include "cm/bench/network_memory.h"
#include "cm/run/run_config.h"

namespace cm {

// What decides it besides the batch.
struct StepSetup {
  NetworkOptions network;
  ImageSpec image;
  bool target = false;
  bool teacher = false;
  bool tangent = false;  // the student's pass carries one, as continuous-time losses need it
  bool lpips = false;    // as the distance
  int64_t averages = 0;
  Shard shard = Shard::none;  // of what `ranks` have parts
  int64_t ranks = 1;
  int64_t computed_bytes = 4;  // of a number in the trunk: 4, or in mixed precision 2
  Kernels kernels = Kernels::fused;
};

// Of a config whose network is given. InputError where it is not, or where the loss differentiates the
// network twice, whose memory is not known here.
StepSetup step_setup(const RunConfig& config, const ImageSpec& image);

// Bytes of a rank. Weights, gradients, moments, target and averages are fp32; in mixed precision the frozen
// teacher's trunk and a copy of the student's for the step are in the trunk's type.
struct StepMemory {
  double parameters = 0;  // a number, not bytes
  double weights = 0;
  double gradients = 0;
  double under_way = 0;  // of gradients that are cut: buckets that are filled or sent
  double moments = 0;
  double target = 0;
  double teacher = 0;
  double averages = 0;
  double lpips = 0;
  double cast = 0;
  double kept_of_image = 0;  // by the student's network, from forward to backward pass
  double peak_of_image = 0;  // the most of all passes

  double state() const {
    return weights + gradients + under_way + moments + target + teacher + averages + lpips + cast;
  }
  double total(int64_t images) const { return state() + static_cast<double>(images) * peak_of_image; }
  // Images of a pass that fit into so many bytes; 0 where none does.
  int64_t largest_batch(double bytes) const;
};

StepMemory step_memory(const StepSetup& setup);

// Bytes that each of `ranks` sends, and receives, in a step: the gradients in fp32 are summed by a ring
// (Patarasuk & Yuan 2009), 2 (P − 1)/P of them, however many micro-batches there are. Where state is cut, the
// sum's first half and, of parameters, its second are the same two halves; where gradients are, the first one
// is sent for every micro-batch.
double step_bytes(double parameters, int64_t ranks, Shard shard = Shard::none, int64_t micro_batches = 1);

// Bytes that rank 0's state is when it is broadcast before the first step; what is cut is not.
double broadcast_bytes(const StepMemory& memory, Shard shard = Shard::none);

}  // namespace cm
