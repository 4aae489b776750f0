// The one type that samplers, solvers, objectives and editors know: a denoiser.
#pragma once

#include <functional>

#include "cm/base/tensor.h"

namespace cm {

// (x [B, C, H, W] or [B, D], sigma [B]) → x̂ of x's shape. A network under a preconditioning, a closed-form
// denoiser or a consistency function f(x, σ) (which maps to the start of the trajectory): all are called the
// same way. A class label or dropout key is bound inside it.
using Denoiser = std::function<Tensor(const Tensor& x, const Tensor& sigma)>;

// The denoiser with its output clamped to [−1, 1], as samplers use it (never distillation).
inline Denoiser clamped(Denoiser denoiser) {
  return [inner = std::move(denoiser)](const Tensor& x, const Tensor& sigma) {
    return inner(x, sigma).clamp(-1, 1);
  };
}

}  // namespace cm
