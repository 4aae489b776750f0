// Encoding and decoding of a batch by an autoencoder with random weights, to be timed.
#pragma once

#include <memory>

#include "cm/bench/bench_case.h"
#include "cm/nn/autoencoder.h"

namespace cm {

// A case's levels as those of an autoencoder: its attention and its heads are the architecture's own.
// InputError unless the case is of that architecture and its images divide into latents.
AutoencoderOptions autoencoder_options_of(const BenchCase& bench_case);

// Floating-point operations of one image of size × size pixels, as NetworkSizes counts them.
struct AutoencoderFlops {
  double encode;
  double decode;
};
AutoencoderFlops flops_of(const AutoencoderOptions& options, int64_t size);

class AutoencoderBench {
 public:
  AutoencoderBench(const BenchCase& bench_case, const torch::Device& device);

  // From uint8 [B, H, W, C] in host memory to the moments there, and back.
  LatentMoments encode() const;
  Tensor decode() const;

  const Autoencoder& autoencoder() const { return *autoencoder_; }
  const torch::Device& device() const { return device_; }
  const AutoencoderFlops& flops() const { return flops_; }

 private:
  torch::Device device_;
  std::unique_ptr<Autoencoder> autoencoder_;
  AutoencoderFlops flops_;
  Tensor pixels_;
  Tensor latents_;
};

}  // namespace cm
