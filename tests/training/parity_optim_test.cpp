// Update rules and averages against PyTorch's and the official release's (tests/fixtures/optim*.safetensors):
// parameters after every step for given gradients, and the moments at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "cm/training/ema.h"
#include "cm/training/optimizer.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;
using test::relative;

OptimizerOptions options_of(const Json& run) {
  auto rule = run.at("rule").get<std::string>();
  std::ranges::transform(rule, rule.begin(), [](unsigned char c) { return std::tolower(c); });
  OptimizerOptions options;
  options.rule = test::named<OptimizerRule>(rule);
  options.lr = run.at("lr").get<double>();
  options.betas = run.at("betas").get<std::vector<double>>();
  options.eps = run.at("eps").get<double>();
  options.weight_decay = run.at("weight_decay").get<double>();
  return options;
}

// PREFIX0, PREFIX1, … as far as they go.
std::vector<Tensor> numbered(const Fixture& fixture, const std::string& prefix) {
  std::vector<Tensor> tensors;
  while (fixture.has(prefix + std::to_string(tensors.size()))) {
    tensors.push_back(fixture[prefix + std::to_string(tensors.size())]);
  }
  if (tensors.empty()) throw std::runtime_error("no tensor " + prefix + "0");
  return tensors;
}

struct Precision {
  std::string name;
  torch::Dtype dtype;
  double tolerance;
};

void check_rule(const Fixture& fixture, const std::string& name, const OptimizerOptions& options,
                const Precision& precision) {
  const std::string prefix = name + "." + precision.name + ".";
  const auto expect = [&](const std::string& quantity, const Tensor& ours, const Tensor& theirs) {
    expect_parity({fixture.part(name), quantity + ", " + precision.name}, relative(ours, theirs),
                  precision.tolerance);
  };
  std::vector<Tensor> parameters;
  for (const Tensor& start : numbered(fixture, "param0.")) {
    parameters.push_back(start.to(precision.dtype).clone().requires_grad_(true));
  }
  const std::vector<Tensor> gradients = numbered(fixture, "grads.");
  const std::vector<Tensor> theirs = numbered(fixture, prefix + "param.");
  Optimizer optimizer(options, parameters);
  for (int64_t step = 0; step < theirs.front().size(0); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    for (size_t k = 0; k < parameters.size(); ++k) {
      parameters[k].mutable_grad() = gradients.at(k)[step].to(precision.dtype);
    }
    optimizer.step(options.lr);
    for (size_t k = 0; k < parameters.size(); ++k) expect("parameters", parameters[k], theirs.at(k)[step]);
  }
  if (!fixture.has(prefix + "first_moment.0")) return;
  const std::vector<Tensor> first = numbered(fixture, prefix + "first_moment.");
  const std::vector<Tensor> second = numbered(fixture, prefix + "second_moment.");
  for (size_t k = 0; k < parameters.size(); ++k) {
    expect("first moments", optimizer.first_moments()[k], first.at(k));
    expect("second moments", optimizer.second_moments()[k], second.at(k));
  }
}

// `rate` as the sidecar writes it, which is also how the tensor is named.
void check_average(const Fixture& fixture, const Json& rate) {
  const std::string name = "ema_" + rate.dump();
  const Tensor average = fixture[fixture.config.at("ema_start").get<std::string>()].clone();
  const Tensor& source = fixture[fixture.config.at("ema_source").get<std::string>()];
  for (int64_t step = 0; step < source.size(0); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    update_ema({average}, {source[step]}, rate.get<double>());
    expect_parity({fixture.name, name}, relative(average, fixture[name][step]), 1e-5);
  }
}

TEST(ParityOptim, AgreesWithTheReference) {
  test::check_cases("optim", [](const Fixture& fixture) {
    for (const auto& [name, run] : fixture.config.at("runs").items()) {
      check_rule(fixture, name, options_of(run), {"f32", torch::kFloat32, 1e-5});
      check_rule(fixture, name, options_of(run), {"f64", torch::kFloat64, 1e-12});
    }
    for (const Json& rate : fixture.config.at("ema_rates")) check_average(fixture, rate);
  });
}

}  // namespace
}  // namespace cm
