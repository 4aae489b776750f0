#include "cm/training/optimizer.h"

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

// RAdam's rectification r_t √(1 − β₂ᵗ), or nullopt in the first steps, where the second moment is not used
// (Liu et al., Algorithm 2 with the threshold 5 of the common implementations).
std::optional<double> rectification(double beta2, double t) {
  constexpr double kThreshold = 5;
  const double correction2 = 1 - std::pow(beta2, t);
  const double rho_inf = 2 / (1 - beta2) - 1;
  const double rho = rho_inf - 2 * t * std::pow(beta2, t) / correction2;
  if (rho <= kThreshold) return std::nullopt;
  const double r = std::sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
  return r * std::sqrt(correction2);
}

}  // namespace

void validate(const OptimizerOptions& options, const Complain& complain) {
  if (options.betas.size() != 2) complain("betas", concat("must be two numbers, got ", options.betas.size()));
}

double learning_rate(const OptimizerOptions& options, int64_t step, int64_t total_steps) {
  const auto warmup = static_cast<double>(options.warmup_steps);
  const auto k = static_cast<double>(step);
  if (k < warmup) return options.lr * (k + 1) / warmup;
  const double progress =
      std::min(1.0, (k - warmup) / std::max(1.0, static_cast<double>(total_steps) - warmup));
  switch (options.decay) {
    case LearningRateDecay::constant:
      return options.lr;
    case LearningRateDecay::linear:
      return options.lr * (1 - progress);
    case LearningRateDecay::cosine:
      return options.lr * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  return options.lr;
}

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<Tensor> parameters)
    : options_(options), parameters_(std::move(parameters)) {
  for (const auto& parameter : parameters_) {
    first_.push_back(torch::zeros_like(parameter));
    second_.push_back(torch::zeros_like(parameter));
  }
}

// RAdam: θ ← θ − lr/(1 − β₁ᵗ) · r_t √(1 − β₂ᵗ) · m/(√v + eps). Adam: θ ← θ − lr/(1 − β₁ᵗ) · m/(√(v/(1 − β₂ᵗ))
// + eps).
AdamUpdate Optimizer::next_update(double lr) const {
  const auto t = static_cast<double>(updates_ + 1);
  const double beta1 = options_.betas[0];
  const double beta2 = options_.betas[1];
  AdamUpdate update{
      .beta1 = beta1, .beta2 = beta2, .step = lr / (1 - std::pow(beta1, t)), .eps = options_.eps};
  switch (options_.rule) {
    case OptimizerRule::radam: {
      const auto scale = rectification(beta2, t);
      update.adaptive = scale.has_value();
      update.step *= scale.value_or(1);
      update.added_decay = options_.weight_decay;
      return update;
    }
    case OptimizerRule::adam:
      update.root = std::sqrt(1 - std::pow(beta2, t));
      update.added_decay = options_.weight_decay;
      return update;
    case OptimizerRule::adamw:
      update.root = std::sqrt(1 - std::pow(beta2, t));
      update.shrink = 1 - lr * options_.weight_decay;
      return update;
  }
  return update;
}

void Optimizer::step(double lr) {
  AdamState state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    state.theta.push_back(parameters_[i]);
    state.gradient.push_back(parameters_[i].grad());
    state.first.push_back(first_[i]);
    state.second.push_back(second_[i]);
  }
  if (state.theta.empty()) return;
  adam_update(state, next_update(lr));
  ++updates_;
}

void Optimizer::zero_grad() {
  for (auto& parameter : parameters_) parameter.mutable_grad() = Tensor();
}

Tensor gradient_norm(const std::vector<Tensor>& parameters) {
  return norm_of(gradients_of(parameters));
}

void clip_gradients(const std::vector<Tensor>& parameters, const Tensor& norm, double clip) {
  constexpr double kSmallest = 1e-6;  // keeps a zero gradient finite
  if (norm.is_cpu() && norm.item<double>() + kSmallest <= clip)
    return;  // nothing to wait for, nothing to scale
  const Tensor scale = (clip / (norm + kSmallest)).clamp_max(1);
  at::_foreach_mul_(gradients_of(parameters), scale);
}

}  // namespace cm
