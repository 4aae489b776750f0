// The processes ("ranks") that train or sample together, and what they tell one another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cm/base/tensor.h"
#include "cm/distributed/launch.h"

namespace cm {

inline constexpr double kUsualTimeout = 600;  // seconds
inline constexpr double kUsualSilence = 10;   // seconds

// Something that was begun with the other ranks.
class Pending {
 public:
  explicit Pending(std::function<void()> wait) : wait_(std::move(wait)) {}

  // Until it is done; on a GPU, what is queued after this waits, not the host. Error when a rank is lost.
  void wait();

 private:
  std::function<void()> wait_;
};

// A handle; copies are the same world. Its ranks must do the same operations in the same order, with tensors
// of the same shapes and dtypes. Tensors are contiguous, on the CPU or on the device of connect(). Every
// operation throws Error when another rank ended or does not answer in time.
class World {
 public:
  // One process alone: the operations leave their tensors as they are and cost nothing.
  World() = default;

  int64_t rank() const;
  int64_t size() const;
  bool is_first() const { return rank() == 0; }

  // Seconds that an operation waits for the other ranks.
  void set_timeout(double seconds) const;

  // Every rank's tensor becomes the sum of all.
  void all_reduce_sum(const Tensor& tensor) const;
  // The same, begun only: `tensor` is not to be touched before its wait().
  Pending begin_all_reduce_sum(const Tensor& tensor) const;

  // Begins to sum `whole` [R · n] over the R ranks, of which each gets n numbers: `own` [n] becomes this
  // rank's part of the sum. It may be its place in `whole`, in which nothing else is left then. Neither is to
  // be touched before its wait().
  Pending begin_reduce_scatter_sum(const Tensor& whole, const Tensor& own) const;

  // Begins to put every rank's `own` [n] into its place in `whole` [R · n]; `own` may be there already.
  Pending begin_all_gather(const Tensor& own, const Tensor& whole) const;

  // Every rank's tensors become those of rank 0.
  void broadcast(const std::vector<Tensor>& tensors) const;

  // [n, …] of each rank, one after another in the order of the ranks, on rank 0; undefined on the others. n
  // may differ between ranks, and rank 0 has some; on the CPU.
  Tensor gather(const Tensor& rows) const;

  // Until all have come here.
  void barrier() const;

  // Runs `body`, which calls nothing of this world, on every rank. Where it finds an InputError on some, the
  // first of these throws it and the others one without a mistake, so that it is said once.
  void together(const std::function<void()>& body) const;

 private:
  struct Group;
  friend World connect(const Launch& launch, const torch::Device& device, double timeout, double silence);
  std::shared_ptr<const Group> group_;
};

// Meets the other processes of `launch`: over Gloo for tensors on the CPU and, where `device` is a GPU, over
// NCCL for those on it. Whoever waits for longer than `silence` seconds says so in the log: for whom, where
// and what to do. Error when they do not come within `timeout` seconds, InputError when this LibTorch can't.
// A launch of one process is a world of its own.
World connect(const Launch& launch, const torch::Device& device, double timeout = kUsualTimeout,
              double silence = kUsualSilence);

// The part of `count` things that falls to a rank: contiguous, in the order of the ranks, the first ranks
// having one more where it does not come out even.
struct Share {
  int64_t first = 0;
  int64_t count = 0;
};
Share share_of(int64_t count, const World& world);

}  // namespace cm
