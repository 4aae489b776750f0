// What the layers of a U-Net add to its sizes, in the order of its forward pass.
#pragma once

#include "cm/bench/network_memory.h"
#include "cm/nn/resample.h"

namespace cm {

// Of an image or a map of features.
inline double numbers(int64_t channels, int64_t side) {
  return static_cast<double>(channels * side * side);
}

struct ResBlockShape {
  int64_t in;
  int64_t out;
  int64_t side;  // of the input
  int64_t embedding_width;
  Resample resample = Resample::none;
  ResampleFilter filter = ResampleFilter::box;
  bool skip_convolution = false;
  bool scale_shift_norm = true;
  bool double_norm = false;
  bool dropout = false;
  bool recomputed = false;  // by activation checkpointing
};

class NetworkWalk {
 public:
  // `groups_of`: groups of the normalisation of so many channels.
  NetworkWalk(Kernels kernels, int64_t (*groups_of)(int64_t channels))
      : kernels_(kernels), groups_of_(groups_of) {}

  void linear(int64_t in, int64_t out);
  void table(int64_t rows, int64_t width) { sizes_.parameters += rows * width; }

  // The embedding of time and label: its own numbers are the same for any size of the image.
  void embedding(int64_t features, int64_t width, bool labelled);
  // A convolution whose input nothing else keeps.
  void convolution(int64_t in, int64_t out, int64_t kernel, int64_t side_in, int64_t side_out);
  Segment res_block(const ResBlockShape& shape);
  Segment attention(int64_t channels, int64_t side, int64_t heads);
  // Last norm and convolution, in fp32.
  void output(int64_t channels, const ImageSpec& image);

  void add(const Segment& segment) { sizes_.segments.push_back(segment); }
  Segment& last() { return sizes_.segments.back(); }
  NetworkSizes take() { return std::move(sizes_); }

  // `side`: of what it makes.
  void trunk_convolution(int64_t in, int64_t out, int64_t kernel, int64_t side);

 private:
  void norm(int64_t channels, Segment& segment);
  void multiply_adds(double count) { sizes_.flops += 2 * count; }
  // Kept between a conditioned norm's input and its activation's output, by numbers of that output.
  double kept_between(const ResBlockShape& shape) const;
  double condition_numbers(const ResBlockShape& shape) const;

  Kernels kernels_;
  int64_t (*groups_of_)(int64_t channels);
  NetworkSizes sizes_;
};

}  // namespace cm
