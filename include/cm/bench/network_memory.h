// The memory of a network's passes, from its sizes: what a forward pass leaves behind for the backward pass,
// and the most that is held at once. Follows what autograd saves of src/nn, each tensor once.
#pragma once

#include "cm/nn/networks.h"

namespace cm {

// How normalisation and dropout are computed, on which depends what they keep.
enum class Kernels {
  fused,      // norm, scale, shift and SiLU as one, keeping its input; dropout keeps nothing
  operators,  // LibTorch's own, one after another, keeping what lies between, and masks
};

// Numbers an image, by the type that holds them.
struct Numbers {
  double computed = 0;  // in the type that the trunk computes in
  double fp32 = 0;      // in fp32 whatever that is

  double bytes(int64_t computed_bytes) const {
    return computed * static_cast<double>(computed_bytes) + 4 * fp32;
  }
  Numbers& operator+=(const Numbers& other) {
    computed += other.computed;
    fp32 += other.fp32;
    return *this;
  }
};

// A part of a network that the backward pass goes through at once.
struct Segment {
  Numbers input;            // kept in any case
  Numbers inner;            // kept, unless the segment is recomputed
  bool recomputed = false;  // activation checkpointing
  Numbers gradients;        // most of them that exist at once while the backward pass is here
  Numbers forward;          // most numbers at once while a pass that keeps nothing is here
  double opened = 0;        // numbers of the skip connection that begins behind it
  double closed = 0;        // numbers of the gradient that one ending here leaves waiting for its beginning
};

// A network's parameters and its segments, in the order of the forward pass.
struct NetworkSizes {
  int64_t parameters = 0;
  int64_t trunk_weights = 0;  // of the layers that mixed precision casts: all that meet images but the last
  // Of layers whose weights each pass computes anew from the trained ones, in fp32 (EDM2's).
  int64_t scaled_weights = 0;
  // Floating-point operations (a multiply-add is two) of a forward pass, in convolutions, linear layers and
  // attention's two products; the rest is small beside them.
  double flops = 0;
  std::vector<Segment> segments;
};

// Bytes of a batch in the passes of one network; parameters and their gradients come on top.
struct PassMemory {
  double kept = 0;            // behind a forward pass that is recorded
  double training_peak = 0;   // the most during forward and backward pass
  double inference_peak = 0;  // the most during a pass that is not recorded
};

// Of one image. InputError unless the options fit `image`.
NetworkSizes sizes_of(const NetworkOptions& options, const ImageSpec& image, Kernels kernels);

// The passes of one image; twice the images, twice the bytes. `computed_bytes` are those of a number in the
// trunk's type: 4 or 2.
PassMemory pass_memory(const std::vector<Segment>& segments, int64_t computed_bytes);

// The most during forward and backward pass of one image whose value comes with a tangent
// (cm/diffusion/jvp.h): tangents live until the next layer has taken them, those of skip connections until
// their other end.
double training_peak_with_tangent(const std::vector<Segment>& segments, int64_t computed_bytes);

}  // namespace cm
