// Multistep sampling of the same images along many lists of time points.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cm/training/sampling.h"

namespace cm {

struct SharedWalkOptions {
  int64_t count = 0;  // images
  int64_t batch = 0;
  uint64_t seed = 0;
  Guidance guidance = {};
  std::function<void()> before_batch = [] {};  // an exception from here ends a walk and loses nothing kept
};

// Images along `sigmas`, as `sample` makes them with seeded_noise, so of the same noise for every list. Those
// along all but the last point are kept: lists that differ in their last point cost one evaluation of the
// model each, and so does a list that goes on from such a beginning.
class SharedWalk {
 public:
  // `labels` int64 [count], undefined where there are no classes. The model must live as long.
  SharedWalk(const Model& model, const Tensor& labels, SharedWalkOptions options);

  // `sigmas` decrease from σ_max: what the model makes, fp32 [count, C, H, W] on the CPU.
  Tensor images(const std::vector<double>& sigmas);

 private:
  Tensor first(double sigma_max) const;
  Tensor next(const Tensor& x, const std::vector<double>& sigmas) const;

  const Model& model_;
  Tensor labels_;
  SharedWalkOptions options_;
  std::vector<double> beginning_;  // the points along which kept_ was made
  Tensor kept_;
};

}  // namespace cm
