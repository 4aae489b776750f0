// Bytes that passes and training steps really take on the CPU, as LibTorch's allocator gives them out. What
// kernels take from the system themselves, as buffers of their own, does not show.
#pragma once

#include <functional>

#include "cm/bench/bench_case.h"
#include "cm/bench/network_memory.h"
#include "cm/nn/network.h"
#include "cm/run/run_config.h"

namespace cm {

// A pass that computes `forward`, whose result depends on something that needs a gradient, after all
// gradients exist, so that they are not counted.
PassMemory measured_pass(const std::function<Tensor()>& forward);

// `network`'s passes over a batch in the type of its weights, with the dropout masks of training or without.
PassMemory measured_network(Network& network, const ImageSpec& image, int64_t batch, bool dropout);

struct MeasuredStep {
  // Networks, moments, averages, and of several ranks the gradients, which are there from the beginning; one
  // alone has none yet.
  double state = 0;
  double peak = 0;  // the most during the second step
};

// The case's training step by an objective, as cm-bench times it, but for the four batches that it begins
// with; of several ranks, this one's with a batch of its own.
MeasuredStep measured_step(const BenchCase& bench_case, ObjectiveKind objective, const World& world = World(),
                           Shard shard = Shard::none);

}  // namespace cm
