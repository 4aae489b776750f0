#include "cm/training/ema.h"

#include <cmath>
#include <set>

#include "cm/base/text.h"

namespace cm {

void validate(const EmaOptions& options, const Complain& complain) {
  const std::set<double> distinct(options.rates.begin(), options.rates.end());
  if (distinct.size() != options.rates.size()) complain("rates", "must not name a rate twice");
}

void update_ema(const std::vector<Tensor>& average, const std::vector<Tensor>& parameters, double rate) {
  const torch::Device device = parameters.front().device();
  update_averages({{average, number_on(device, torch::kFloat64, rate)}}, parameters,
                  number_on(device, torch::kBool, 1));
}

EmaSet::EmaSet(const EmaOptions& options, std::vector<Tensor> parameters)
    : rates_(options.rates), parameters_(std::move(parameters)) {
  for (const double rate : rates_) {
    device_rates_.push_back(number_on(parameters_.front().device(), torch::kFloat64, rate));
    auto& average = averages_.emplace_back();
    for (const auto& parameter : parameters_) average.push_back(parameter.detach().clone());
  }
}

void EmaSet::update(std::vector<MovingAverage> others, const Tensor& usable) {
  for (size_t i = 0; i < rates_.size(); ++i) others.push_back({averages_[i], device_rates_[i]});
  update_averages(others, parameters_, usable);
}

std::optional<double> settled_rate(const std::vector<double>& rates, int64_t steps) {
  constexpr double kStartLeft = 0.25;
  std::optional<double> best;
  for (const double rate : rates) {
    const bool settled = std::pow(rate, static_cast<double>(steps)) <= kStartLeft;
    if (settled && (!best || rate > *best)) best = rate;
  }
  return best;
}

}  // namespace cm
