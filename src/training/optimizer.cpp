#include "cm/training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "cm/base/text.h"

namespace cm {
namespace {

std::vector<Tensor> gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const auto& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

AdamRule rule_of(const OptimizerOptions& options) {
  return {.beta1 = options.betas[0],
          .beta2 = options.betas[1],
          .eps = options.eps,
          .weight_decay = options.weight_decay,
          .decoupled = options.rule == OptimizerRule::adamw,
          .rectified = options.rule == OptimizerRule::radam};
}

}  // namespace

void validate(const OptimizerOptions& options, const Complain& complain) {
  if (options.betas.size() != 2) complain("betas", concat("must be two numbers, got ", options.betas.size()));
  const bool falls_from_start = options.decay == LearningRateDecay::inverse_sqrt;
  if (falls_from_start && !options.decay_start)
    complain("decay_start", "must be the step that decay inverse_sqrt begins at, got null");
  if (!falls_from_start && options.decay_start) {
    complain("decay_start", concat("belongs to decay inverse_sqrt, but decay is ", to_string(options.decay)));
  }
}

double learning_rate(const OptimizerOptions& options, int64_t step, int64_t total_steps) {
  const auto warmup = static_cast<double>(options.warmup_steps);
  const auto k = static_cast<double>(step);
  const double risen = k < warmup ? options.lr * (k + 1) / warmup : options.lr;
  const double progress =
      std::clamp((k - warmup) / std::max(1.0, static_cast<double>(total_steps) - warmup), 0.0, 1.0);
  switch (options.decay) {
    case LearningRateDecay::constant:
      return risen;
    case LearningRateDecay::linear:
      return risen * (1 - progress);
    case LearningRateDecay::cosine:
      return risen * 0.5 * (1 + std::cos(std::numbers::pi * progress));
    case LearningRateDecay::inverse_sqrt:
      return risen / std::sqrt(std::max(1.0, k / static_cast<double>(options.decay_start.value_or(1))));
  }
  TORCH_INTERNAL_ASSERT(false, "not a decay");
}

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<Tensor> parameters)
    : rule_(rule_of(options)), parameters_(std::move(parameters)) {
  TORCH_CHECK(!parameters_.empty(), "there are no parameters to optimize");
  for (const auto& parameter : parameters_) {
    first_.push_back(torch::zeros_like(parameter));
    second_.push_back(torch::zeros_like(parameter));
  }
  updates_ = number_on(parameters_.front().device(), torch::kInt64, 0);
}

void Optimizer::step(double lr) {
  const torch::Device device = updates_.device();
  step(number_on(device, torch::kFloat64, lr), number_on(device, torch::kFloat64, 1),
       number_on(device, torch::kBool, 1));
}

void Optimizer::step(const Tensor& lr, const Tensor& factor, const Tensor& usable) {
  AdamState state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    state.theta.push_back(parameters_[i]);
    state.gradient.push_back(parameters_[i].grad());
    state.first.push_back(first_[i]);
    state.second.push_back(second_[i]);
  }
  if (state.theta.empty()) return;
  updates_.add_(usable);
  adam_update(state, rule_, {.usable = usable, .updates = updates_, .lr = lr, .factor = factor});
}

void Optimizer::zero_grad() {
  for (auto& parameter : parameters_) parameter.mutable_grad() = Tensor();
}

Tensor gradient_norm(const std::vector<Tensor>& parameters) {
  const auto gradients = gradients_of(parameters);
  return gradients.empty() ? torch::zeros_like(parameters.front()).sum() : norm_of(gradients);
}

Tensor clip_factor(const Tensor& norm, double clip) {
  constexpr double kSmallest = 1e-6;  // keeps a zero gradient finite
  return (clip / (norm.to(torch::kFloat64) + kSmallest)).clamp_max(1);
}

}  // namespace cm
