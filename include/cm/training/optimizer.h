// Adam and its relatives (in one pass over all tensors: cm/kernels/multi_tensor.h), and the learning rate's
// course.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/base/tensor.h"
#include "cm/kernels/multi_tensor.h"

namespace cm {

enum class OptimizerRule {
  radam,  // rectified Adam (Liu et al. 2019, arXiv 1908.03265), weight decay added to the gradient
  adam,   // Kingma & Ba 2014 (arXiv 1412.6980), weight decay added to the gradient
  adamw,  // Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv 1711.05101)
};

// How the learning rate falls.
enum class LearningRateDecay {
  constant,
  linear,        // from the warm-up to 0 at the last step
  cosine,        // the same along half a cosine
  inverse_sqrt,  // as 1/√(k/decay_start) from step decay_start on (EDM2: Karras et al. 2024, Eq. 67)
};

struct OptimizerOptions {
  OptimizerRule rule = OptimizerRule::radam;
  double lr = 1e-4;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  int64_t warmup_steps = 0;
  LearningRateDecay decay = LearningRateDecay::constant;
  std::optional<int64_t> decay_start;
  std::optional<double> clip_norm;
};

template <class Visitor>
void fields(Visitor& visit, OptimizerOptions& o) {
  visit("rule", o.rule, "update rule");
  visit("lr", o.lr, "learning rate, after the warm-up", above(0));
  visit("betas", o.betas, "decay rates of the first and second moment", from_below(0, 1));
  visit("eps", o.eps, "added to the root of the second moment", above(0));
  visit("weight_decay", o.weight_decay, "weight decay", at_least(0));
  visit("warmup_steps", o.warmup_steps, "steps over which the learning rate rises linearly from 0",
        within(0, kMostSteps));
  visit("decay", o.decay,
        "how the learning rate falls: linear and cosine from the warm-up to 0 at the last step, "
        "inverse_sqrt as 1/√step from decay_start on");
  visit("decay_start", o.decay_start, "step at which decay inverse_sqrt begins, which it needs",
        within(1, kMostSteps));
  visit("clip_norm", o.clip_norm, "largest norm of the whole gradient; longer ones are scaled down",
        above(0));
}

void validate(const OptimizerOptions& options, const Complain& complain);

// The learning rate of step k = 0, 1, …, `total_steps` − 1.
double learning_rate(const OptimizerOptions& options, int64_t step, int64_t total_steps);

class Optimizer {
 public:
  // Updates `parameters` in place; their gradients are read from .grad().
  Optimizer(const OptimizerOptions& options, std::vector<Tensor> parameters);

  // One update with the current gradients (a parameter without one is left alone, its moments too).
  void step(double lr);

  // The same with numbers that are on the parameters' device, without waiting for them: lr (fp64), a factor
  // on the gradients (fp64), and whether the update happens at all (bool).
  void step(const Tensor& lr, const Tensor& factor, const Tensor& usable);

  // Drops all gradients, so that the next backward pass writes instead of adding.
  void zero_grad();

  // First and second moments, in the order of the parameters, and the number of updates: the whole state.
  const std::vector<Tensor>& first_moments() const { return first_; }
  const std::vector<Tensor>& second_moments() const { return second_; }
  int64_t updates() const { return updates_.item<int64_t>(); }  // waits for the device
  void set_updates(int64_t updates) { updates_.fill_(updates); }

 private:
  AdamRule rule_;
  std::vector<Tensor> parameters_;
  std::vector<Tensor> first_;
  std::vector<Tensor> second_;
  Tensor updates_;  // int64, on the parameters' device
};

// The Euclidean norm of all gradients as one number on their device, without waiting for it; 0 where no
// parameter has one.
Tensor gradient_norm(const std::vector<Tensor>& parameters);

// min(1, clip / norm), what clipping multiplies the gradients with; fp64 on the norm's device.
Tensor clip_factor(const Tensor& norm, double clip);

}  // namespace cm
