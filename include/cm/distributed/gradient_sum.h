// Sums of gradients over ranks, sent while the backward pass still runs.
#pragma once

#include <memory>

#include "cm/distributed/parameter_shards.h"

namespace cm {

// Gradients travel in the buckets of ParameterShards::layout(). A bucket is sent when it is full and those
// before it were sent, so that all ranks send in one order.
//
//   GradientSum sum(shards);
//   sum.begin(/*is_last=*/false);
//   loss_a.backward();
//   sum.begin(/*is_last=*/true);
//   loss_b.backward();  // the last of the step
//   sum.finish();
//
// Afterwards the gradients of ParameterShards::own() are the sums over all ranks: of whole parameters (a view
// of its bucket) where nothing is cut, else of this rank's parts, and the parameters themselves have none.
// Unless gradients are cut, passes add up on each rank alone and the last one sends; else every pass sends,
// and a bucket exists from its first gradient to its sum. At most kInFlight of what is cut are under way at
// once, so that their memory is bounded.
class GradientSum {
 public:
  static constexpr size_t kInFlight = 2;

  // `shards` must outlive this. Which parameters have a gradient after a backward pass must be the same on
  // all ranks.
  explicit GradientSum(const ParameterShards& shards);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  // Before a backward pass of a step.
  void begin(bool is_last);

  // After the last one: waits (on a GPU: makes what is queued next wait) for the sums. Error when a rank is
  // lost.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cm
