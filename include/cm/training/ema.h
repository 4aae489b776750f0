// Exponential moving averages of weights: e ← rate · e + (1 − rate) · θ.
#pragma once

#include <optional>
#include <vector>

#include "cm/base/fields.h"
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

struct EmaOptions {
  std::vector<double> rates = {0.999, 0.9999, 0.9999432189950708};
  EmaWarmup warmup = EmaWarmup::tensorflow;
};

template <class Visitor>
void fields(Visitor& visit, EmaOptions& o) {
  visit("rates", o.rates, "decay rates of the evaluation averages, each kept and saved", from_below(0, 1));
  visit("warmup", o.warmup,
        "lower rates for an average's first updates k, so that it forgets its start: tensorflow, at most (1 "
        "+ k)/(10 + k); edm, a half-life of at most 5 % of the images seen; none, as the official release");
}

void validate(const EmaOptions& options, const Complain& complain);

// The rate of update number k ≥ 0, in [0, rate].
double warmed_rate(double rate, EmaWarmup warmup, int64_t k);

// One step of the average, in place over all tensors at once; rate 0 copies.
void update_ema(const std::vector<Tensor>& average, const std::vector<Tensor>& parameters, double rate);

// What is known of an average besides its numbers.
struct AverageState {
  double rate = 0;
  double start_share = 1;  // the weight in it of what it started with: the product of its updates' rates
};

template <class Visitor>
void fields(Visitor& visit, AverageState& o) {
  visit("rate", o.rate, "decay rate", from_below(0, 1));
  visit("start_share", o.start_share, "weight of what the average started with", within(0, 1));
}

// The largest rate whose average has forgotten its start, which weighs at most 1 %; nullopt when there is
// none.
std::optional<double> settled_rate(const std::vector<AverageState>& averages);

// The averages of one set of parameters at several rates.
class EmaSet {
 public:
  // Every average starts as a copy of `parameters`, whose storage the set keeps reading.
  EmaSet(const EmaOptions& options, std::vector<Tensor> parameters);

  // Sets the rates, which are on the parameters' device, for update number k. Of work that is recorded and
  // played it stays outside.
  void begin_update(int64_t k);
  // One step of every average, and in the same pass over the parameters of `others` that follow them; none
  // where `usable` (bool, one element on their device) is false.
  void update(std::vector<MovingAverage> others, const Tensor& usable);

  // A start's share counts an update that was not usable too: reading that would wait for the device.
  const std::vector<AverageState>& states() const { return states_; }
  void restore_start_share(size_t index, double share) { states_[index].start_share = share; }
  // The average at states()[index].rate, in the order of the parameters.
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
