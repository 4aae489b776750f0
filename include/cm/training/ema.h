// Exponential moving averages of weights: e ← rate · e + (1 − rate) · θ.
#pragma once

#include <optional>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/base/tensor.h"
#include "cm/kernels/multi_tensor.h"

namespace cm {

// The rate of an average's update number k = 0, 1, …, while there is little to average yet. Without a warm-up
// the start weighs rate^k, 8 % after 2,500 updates at 0.999.
enum class EmaWarmup {
  none,        // rate, as in the official release of consistency models
  tensorflow,  // min(rate, (1 + k)/(10 + k)): TensorFlow's ExponentialMovingAverage with num_updates
  edm,  // min(rate, 2^(−1/(0.05 k))): a half-life of at most 5 % of what was seen (EDM's ema_rampup_ratio)
};

// √(1/12), the σ_rel of γ = 0: the plain mean of all weights so far.
inline constexpr double kLargestPowerStd = 0.28867513459481287;
inline constexpr Range kPowerStds{.min = 0, .max = kLargestPowerStd, .open_min = true, .open_max = true};

// What the weights of a snapshot are stored as.
enum class SnapshotType { fp16, fp32 };

struct EmaOptions {
  std::vector<double> rates = {0.999, 0.9999, 0.9999432189950708};
  EmaWarmup warmup = EmaWarmup::tensorflow;
  std::vector<double> power_stds = {};
  int64_t snapshot_every = 1000;
  SnapshotType snapshot_type = SnapshotType::fp16;
};

template <class Visitor>
void fields(Visitor& visit, EmaOptions& o) {
  visit("rates", o.rates, "decay rates of the evaluation averages, each kept and saved", from_below(0, 1));
  visit("warmup", o.warmup,
        "lower rates for an average's first updates k, so that it forgets its start: tensorflow, at most (1 "
        "+ k)/(10 + k); edm, a half-life of at most 5 % of the images seen; none, as the official release");
  visit("power_stds", o.power_stds,
        "σ_rel of averages by power functions, each kept; of snapshots of two or more, as [0.05, 0.1], "
        "cm-average makes any other one after training",
        kPowerStds);
  visit("snapshot_every", o.snapshot_every,
        "steps between two snapshots of the power_stds; the last step always has one, and so has a stage's",
        within(1, kMostSteps));
  visit("snapshot_type", o.snapshot_type, "what snapshots' weights are stored as");
}

void validate(const EmaOptions& options, const Complain& complain);

// The rate of update number k ≥ 0, in [0, rate].
double warmed_rate(double rate, EmaWarmup warmup, int64_t k);

// One step of the average, in place over all tensors at once; rate 0 copies.
void update_ema(const std::vector<Tensor>& average, const std::vector<Tensor>& parameters, double rate);

// What is known of an average besides its numbers: its rate, constant after the warm-up, or where `power_std`
// is set that of a power function (src/training/power_average.h).
struct AverageState {
  double rate = 0;
  double start_share = 1;  // the weight in it of what it started with: the product of its updates' rates
  std::optional<double> power_std = std::nullopt;  // σ_rel
  int64_t updates = 0;
};

template <class Visitor>
void fields(Visitor& visit, AverageState& o) {
  visit("rate", o.rate, "decay rate", from_below(0, 1));
  visit("start_share", o.start_share, "weight of what the average started with", within(0, 1));
  visit("power_std", o.power_std, "σ_rel, of an average by a power function", kPowerStds);
  visit("updates", o.updates, "updates since it started", within(0, kMostSteps));
}

// Which of the averages stands for what was trained unless another is asked for: that of the largest constant
// rate that has forgotten its start, which weighs at most 1 %, or else the widest by a power function;
// nullopt when there is none.
std::optional<size_t> settled_average(const std::vector<AverageState>& averages);

// The averages of one set of parameters at several rates, then those by power functions.
class EmaSet {
 public:
  // Every average starts as a copy of `parameters`, whose storage the set keeps reading. Of many ranks one
  // may have none.
  EmaSet(const EmaOptions& options, std::vector<Tensor> parameters);

  // Sets the rates, which are on the parameters' device, for update number k. Of work that is recorded and
  // played it stays outside.
  void begin_update(int64_t k);
  // One step of every average, and in the same pass over the parameters of `others` that follow them; none
  // where `usable` (bool, one element on their device) is false.
  void update(std::vector<MovingAverage> others, const Tensor& usable);

  // A start's share counts an update that was not usable too: reading that would wait for the device.
  const std::vector<AverageState>& states() const { return states_; }
  void restore(size_t index, double start_share, int64_t updates) {
    states_[index].start_share = start_share;
    states_[index].updates = updates;
  }
  // The average of states()[index], in the order of the parameters.
  const std::vector<Tensor>& average(size_t index) const { return averages_[index]; }

 private:
  EmaWarmup warmup_;
  std::vector<AverageState> states_;
  std::vector<double> current_rates_;
  std::vector<Tensor> device_rates_;  // the same on the device
  std::vector<Tensor> parameters_;
  std::vector<std::vector<Tensor>> averages_;
};

}  // namespace cm
