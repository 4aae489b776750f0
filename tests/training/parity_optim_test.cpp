// Update rules and averages against PyTorch's and the official release's (tests/fixtures/optim*.safetensors):
// parameters after every step for given gradients, and the moments at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "cm/base/text.h"
#include "cm/training/ema.h"
#include "cm/training/optimizer.h"
#include "support/closeness.h"
#include "support/fixtures.h"

namespace cm {
namespace {

using test::Fixture;
using test::largest_difference;

OptimizerOptions options_of(const Json& run) {
  auto name = run.at("rule").get<std::string>();
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto rule = from_name<OptimizerRule>(name);
  if (!rule) throw std::runtime_error("rule " + name + " is none of ours");
  OptimizerOptions options;
  options.rule = *rule;
  options.lr = run.at("lr").get<double>();
  options.betas = run.at("betas").get<std::vector<double>>();
  options.eps = run.at("eps").get<double>();
  options.weight_decay = run.at("weight_decay").get<double>();
  return options;
}

std::vector<Tensor> start_parameters(const Fixture& fixture, torch::Dtype dtype) {
  std::vector<Tensor> parameters;
  for (int64_t k = 0; fixture.has("param0." + std::to_string(k)); ++k) {
    const Tensor& start = fixture["param0." + std::to_string(k)];
    parameters.push_back(start.to(dtype).clone().requires_grad_(true));
  }
  return parameters;
}

struct Precision {
  std::string name;
  torch::Dtype dtype;
  double tolerance;
};

void check_rule(const Fixture& fixture, const std::string& name, const OptimizerOptions& options,
                const Precision& precision) {
  SCOPED_TRACE(name + "." + precision.name);
  const std::string prefix = name + "." + precision.name + ".";
  auto parameters = start_parameters(fixture, precision.dtype);
  Optimizer optimizer(options, parameters);
  const auto steps = fixture.config.at("steps").get<int64_t>();
  for (int64_t step = 0; step < steps; ++step) {
    for (size_t k = 0; k < parameters.size(); ++k) {
      parameters[k].mutable_grad() = fixture["grads." + std::to_string(k)][step].to(precision.dtype);
    }
    optimizer.step(options.lr);
    for (size_t k = 0; k < parameters.size(); ++k) {
      const Tensor theirs = fixture[prefix + "param." + std::to_string(k)][step];
      EXPECT_LT(largest_difference(parameters[k], theirs), precision.tolerance) << "step " << step;
    }
  }
  for (size_t k = 0; k < parameters.size(); ++k) {
    const std::string first = prefix + "first_moment." + std::to_string(k);
    if (!fixture.has(first)) continue;
    const std::string second = prefix + "second_moment." + std::to_string(k);
    EXPECT_LT(largest_difference(optimizer.first_moments()[k], fixture[first]), precision.tolerance);
    EXPECT_LT(largest_difference(optimizer.second_moments()[k], fixture[second]), precision.tolerance);
  }
}

void check_average(const Fixture& fixture, double rate) {
  SCOPED_TRACE("ema_" + shortest(rate));
  const Tensor average = fixture[fixture.config.at("ema_start").get<std::string>()].clone();
  const Tensor& source = fixture[fixture.config.at("ema_source").get<std::string>()];
  for (int64_t step = 0; step < source.size(0); ++step) {
    update_ema({average}, {source[step]}, rate);
    EXPECT_LT(largest_difference(average, fixture["ema_" + shortest(rate)][step]), 1e-5);
  }
}

TEST(ParityOptim, AgreesWithTheReference) {
  for (const auto& fixture : test::fixtures("optim")) {
    SCOPED_TRACE(fixture.name);
    for (const auto& [name, run] : fixture.config.at("runs").items()) {
      check_rule(fixture, name, options_of(run), {"f32", torch::kFloat32, 1e-5});
      check_rule(fixture, name, options_of(run), {"f64", torch::kFloat64, 1e-12});
    }
    for (const double rate : fixture.config.at("ema_rates").get<std::vector<double>>()) {
      check_average(fixture, rate);
    }
  }
}

}  // namespace
}  // namespace cm
