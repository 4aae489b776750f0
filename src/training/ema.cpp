#include "cm/training/ema.h"

#include <cmath>
#include <set>

#include "cm/base/text.h"

namespace cm {

void validate(const EmaOptions& options, const Complain& complain) {
  const std::set<double> distinct(options.rates.begin(), options.rates.end());
  if (distinct.size() != options.rates.size()) complain("rates", "must not name a rate twice");
}

namespace {

Tensor number_beside(const std::vector<Tensor>& parameters, double value, torch::Dtype type) {
  return torch::full({}, value, torch::TensorOptions(type).device(parameters.front().device()));
}

}  // namespace

void update_ema(const std::vector<Tensor>& average, const std::vector<Tensor>& parameters, double rate) {
  update_averages({{average, number_beside(parameters, rate, torch::kFloat64)}}, parameters,
                  number_beside(parameters, 1, torch::kBool));
}

EmaSet::EmaSet(const EmaOptions& options, std::vector<Tensor> parameters)
    : rates_(options.rates), parameters_(std::move(parameters)) {
  for (const double rate : rates_) {
    device_rates_.push_back(number_beside(parameters_, rate, torch::kFloat64));
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
