#include "cm/bench/measured_memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>

#include "cm/bench/training_bench.h"

namespace cm {
namespace {

// Counts what this thread's allocations of tensors on the CPU hold, from its construction on.
class Meter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*block*/, int64_t bytes, size_t /*allocated*/, size_t /*reserved*/,
                         c10::Device device) override {
    if (!device.is_cpu()) return;
    held_ += bytes;
    peak_ = std::max(peak_, held_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  double held() const { return static_cast<double>(held_); }
  double peak() const { return static_cast<double>(peak_); }
  void restart_peak() { peak_ = held_; }

 private:
  int64_t held_ = 0;
  int64_t peak_ = 0;
};

class Metered {
 public:
  Metered() : guard_(c10::DebugInfoKind::PROFILER_STATE, meter_) {}
  Meter& operator()() const { return *meter_; }

 private:
  std::shared_ptr<Meter> meter_ = std::make_shared<Meter>();
  c10::DebugInfoGuard guard_;
};

// Images in fp32 and int64 labels, as the loader hands them over.
double bytes_of_batch(const BenchCase& o) {
  return static_cast<double>(o.batch * (o.in_channels * o.image_size * o.image_size * 4 + 8));
}

}  // namespace

PassMemory measured_pass(const std::function<Tensor()>& forward) {
  forward().sum().backward();
  PassMemory found;
  {
    const Metered metered;
    const Tensor y = forward();
    found.kept = metered().held();
    y.sum().backward();
    found.training_peak = metered().peak();
  }
  const Metered metered;
  no_grad(forward);
  found.inference_peak = metered().peak();
  return found;
}

PassMemory measured_network(Network& network, const ImageSpec& image, int64_t batch, bool dropout) {
  const torch::TensorOptions type = network.parameters().front().options().requires_grad(false);
  const Tensor x = torch::zeros({batch, image.channels, image.size, image.size}, type);
  const Tensor time = torch::zeros({batch}, type);
  const Tensor labels = image.classes > 0 ? torch::zeros({batch}, torch::kInt64) : Tensor();
  const Tensor second_time = network.takes_second_time() ? time : Tensor();
  const Tensor keys = dropout ? torch::arange(batch, torch::kInt64) : Tensor();
  return measured_pass([&] { return network.forward(x, {time, labels, second_time}, keys); });
}

MeasuredStep measured_step(const BenchCase& bench_case, ObjectiveKind objective, const World& world,
                           Shard shard) {
  const Metered metered;
  TrainingBench bench(bench_case, objective, torch::kCPU, world, shard);
  const double batches = static_cast<double>(TrainingBench::kBatches) * bytes_of_batch(bench_case);
  MeasuredStep found;
  found.state = metered().held() - batches;
  bench.step();
  // What c10d's threads let go of last is not seen to be free.
  const double unseen = world.size() == 1 ? 0 : metered().held() - batches - found.state;
  metered().restart_peak();
  bench.step();
  found.peak = metered().peak() - batches - unseen;
  return found;
}

}  // namespace cm
