#include "cm/training/ema.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "cm/base/text.h"
#include "power_average.h"

namespace cm {

void validate(const EmaOptions& options, const Complain& complain) {
  const std::set<double> distinct(options.rates.begin(), options.rates.end());
  if (distinct.size() != options.rates.size()) complain("rates", "must not name a rate twice");
  const std::set<double> widths(options.power_stds.begin(), options.power_stds.end());
  if (widths.size() != options.power_stds.size()) complain("power_stds", "must not name a σ_rel twice");
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

std::optional<size_t> settled_average(const std::vector<AverageState>& averages) {
  constexpr double kStartLeft = 0.01;
  const auto rank = [](const AverageState& average) {
    return std::pair(!average.power_std, average.power_std.value_or(average.rate));
  };
  std::optional<size_t> best;
  for (size_t i = 0; i < averages.size(); ++i) {
    if (averages[i].start_share > kStartLeft) continue;
    if (!best || rank(averages[i]) > rank(averages[*best])) best = i;
  }
  return best;
}

EmaSet::EmaSet(const EmaOptions& options, std::vector<Tensor> parameters)
    : warmup_(options.warmup), parameters_(std::move(parameters)) {
  for (const double rate : options.rates) states_.push_back({.rate = rate});
  for (const double std : options.power_stds) states_.push_back({.power_std = std});
  const torch::Device device = parameters_.empty() ? torch::kCPU : parameters_.front().device();
  for (const AverageState& state : states_) {
    current_rates_.push_back(state.rate);
    device_rates_.push_back(number_on(device, torch::kFloat64, state.rate));
    auto& average = averages_.emplace_back();
    for (const auto& parameter : parameters_) average.push_back(parameter.detach().clone());
  }
}

void EmaSet::begin_update(int64_t k) {
  for (size_t i = 0; i < states_.size(); ++i) {
    AverageState& state = states_[i];
    const double rate =
        state.power_std ? power_rate(*state.power_std, k) : warmed_rate(state.rate, warmup_, k);
    state.start_share *= rate;
    state.updates = k + 1;
    if (rate == current_rates_[i]) continue;
    current_rates_[i] = rate;
    device_rates_[i].fill_(rate);
  }
}

void EmaSet::update(std::vector<MovingAverage> others, const Tensor& usable) {
  if (parameters_.empty()) return;
  for (size_t i = 0; i < averages_.size(); ++i) others.push_back({averages_[i], device_rates_[i]});
  update_averages(others, parameters_, usable);
}

}  // namespace cm
