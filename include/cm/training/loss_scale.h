// Dynamic loss scaling for fp16 (Micikevicius et al. 2017, arXiv 1710.03740, §3.2 and §4.1).
//
// Small gradients vanish in fp16. The backward pass begins with scale · loss, so that all gradients within it
// are as much larger, and the update divides by the scale again. A step whose gradient overflowed is skipped
// and halves the scale; 2,000 steps in a row without one double it.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

class LossScale {
 public:
  explicit LossScale(const torch::Device& device);

  // fp32, one element on the device, at least 1.
  const Tensor& value() const { return value_; }

  // Whether an unusable step may be the scale's fault: not once it has come down to 1. bool, on the device.
  Tensor may_be_too_large() const { return value_ > 1; }

  // After a step: `usable` (bool, one element on the device) says whether its gradient was finite. Nothing is
  // waited for.
  void update(const Tensor& usable);

  // Steps without an overflow since the scale last changed; with value() the whole state. int64 on the
  // device.
  const Tensor& clean_steps() const { return clean_steps_; }
  void restore(double value, int64_t clean_steps);

 private:
  Tensor value_;
  Tensor clean_steps_;
};

}  // namespace cm
