// Sampled batches that are to be timed, by a random model: from the seed's noise to uint8 in host memory.
#pragma once

#include "cm/bench/bench_case.h"
#include "cm/training/sampling.h"

namespace cm {

class SamplingBench {
 public:
  // `kind` onestep, or multistep in two steps, of a consistency model; or heun in 18 steps, of a diffusion
  // model.
  SamplingBench(const BenchCase& bench_case, Sampler kind, const torch::Device& device);

  // uint8 [B, H, W, C] on the CPU.
  Tensor batch();

  const Model& model() const { return model_; }
  const SamplerOptions& sampler() const { return sampler_; }

 private:
  Model model_;
  SamplerOptions sampler_;
  Tensor labels_;
  int64_t size_;
  uint64_t seed_ = 0;
};

}  // namespace cm
