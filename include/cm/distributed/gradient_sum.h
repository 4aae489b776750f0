// Sums of gradients over ranks, sent while the backward pass still runs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cm/base/tensor.h"
#include "cm/distributed/world.h"

namespace cm {

// Gradients travel in buckets: buffers of neighbouring parameters, filled from the last parameter to the
// first, because that is about the order in which a backward pass finishes them. A bucket is sent when it is
// full and those before it were sent, so that all ranks send in one order. Afterwards .grad() of each
// parameter is a view of its bucket.
//
//   GradientSum sum(world, parameters);
//   loss_a.backward();         // adds up on this rank alone
//   sum.begin(loss_a + loss_b);
//   loss_b.backward();         // the last of the step: sends
//   total = sum.finish();
class GradientSum {
 public:
  static constexpr int64_t kBucketBytes = 25 << 20;

  // Of leaf tensors, fp32, on one device; which of them have a gradient after a backward pass must be the
  // same on all ranks.
  GradientSum(World world, std::vector<Tensor> parameters, int64_t bucket_bytes = kBucketBytes);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  // From here on a gradient that comes in is this rank's whole one. `loss`, one fp32 number, goes along.
  void begin(const Tensor& loss);

  // Waits (on a GPU: makes what is queued next wait) until every .grad() is the sum over all ranks; returns
  // the sum of begin's losses. Error when a rank is lost.
  Tensor finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cm
