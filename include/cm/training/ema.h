// Exponential moving averages of weights: e ← rate · e + (1 − rate) · θ.
#pragma once

#include <vector>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"
#include "cm/kernels/multi_tensor.h"

namespace cm {

struct EmaOptions {
  std::vector<double> rates = {0.999, 0.9999, 0.9999432189950708};
};

template <class Visitor>
void fields(Visitor& visit, EmaOptions& o) {
  visit("rates", o.rates, "decay rates of the evaluation averages, each kept and saved", from_below(0, 1));
}

void validate(const EmaOptions& options, const Complain& complain);

// One step of the average, in place over all tensors at once; rate 0 copies.
void update_ema(const std::vector<Tensor>& average, const std::vector<Tensor>& parameters, double rate);

// The averages of one set of parameters at several rates.
class EmaSet {
 public:
  // Every average starts as a copy of `parameters`, whose storage the set keeps reading.
  EmaSet(const EmaOptions& options, std::vector<Tensor> parameters);

  // One step of every average, and in the same pass over the parameters of `others` that follow them; none
  // where `usable` (bool, one element on their device) is false.
  void update(std::vector<MovingAverage> others, const Tensor& usable);

  const std::vector<double>& rates() const { return rates_; }
  // The average at rates()[index], in the order of the parameters.
  const std::vector<Tensor>& average(size_t index) const { return averages_[index]; }

 private:
  std::vector<double> rates_;
  std::vector<Tensor> device_rates_;
  std::vector<Tensor> parameters_;
  std::vector<std::vector<Tensor>> averages_;
};

// The largest rate with rate^steps ≤ 0.25, whose average has forgotten its start; nullopt when there is none.
std::optional<double> settled_rate(const std::vector<double>& rates, int64_t steps);

}  // namespace cm
