#include "cm/training/ema.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "cm/base/text.h"

namespace cm {

void validate(const EmaOptions& options, const Complain& complain) {
  const std::set<double> distinct(options.rates.begin(), options.rates.end());
  if (distinct.size() != options.rates.size()) complain("rates", "must not name a rate twice");
}

double warmed_rate(double rate, EmaWarmup warmup, int64_t k) {
  const auto updates = static_cast<double>(k);
  switch (warmup) {
    case EmaWarmup::none:
      return rate;
    case EmaWarmup::tensorflow:
      return std::min(rate, (1 + updates) / (10 + updates));
    case EmaWarmup::edm:
      return std::min(rate, std::exp2(-1 / (0.05 * updates)));  // 2^(−∞) = 0 in the first update
  }
  TORCH_INTERNAL_ASSERT(false, "not a warm-up");
}

void update_ema(const std::vector<Tensor>& average, const std::vector<Tensor>& parameters, double rate) {
  const torch::Device device = parameters.front().device();
  update_averages({{average, number_on(device, torch::kFloat64, rate)}}, parameters,
                  number_on(device, torch::kBool, 1));
}

std::optional<double> settled_rate(const std::vector<AverageState>& averages) {
  constexpr double kStartLeft = 0.01;
  std::optional<double> best;
  for (const AverageState& average : averages) {
    const bool settled = average.start_share <= kStartLeft;
    if (settled && (!best || average.rate > *best)) best = average.rate;
  }
  return best;
}

EmaSet::EmaSet(const EmaOptions& options, std::vector<Tensor> parameters)
    : warmup_(options.warmup), current_rates_(options.rates), parameters_(std::move(parameters)) {
  for (const double rate : options.rates) {
    states_.push_back({.rate = rate});
    device_rates_.push_back(number_on(parameters_.front().device(), torch::kFloat64, rate));
    auto& average = averages_.emplace_back();
    for (const auto& parameter : parameters_) average.push_back(parameter.detach().clone());
  }
}

void EmaSet::begin_update(int64_t k) {
  for (size_t i = 0; i < states_.size(); ++i) {
    const double rate = warmed_rate(states_[i].rate, warmup_, k);
    states_[i].start_share *= rate;
    if (rate == current_rates_[i]) continue;
    current_rates_[i] = rate;
    device_rates_[i].fill_(rate);
  }
}

void EmaSet::update(std::vector<MovingAverage> others, const Tensor& usable) {
  for (size_t i = 0; i < averages_.size(); ++i) others.push_back({averages_[i], device_rates_[i]});
  update_averages(others, parameters_, usable);
}

}  // namespace cm
