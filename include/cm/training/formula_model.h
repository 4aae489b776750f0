// A model whose denoiser is a formula: an exact teacher.
#pragma once

#include "cm/training/model.h"

namespace cm {

// The frozen model of a network without parameters that solves EDM's preconditioning for F,
//
//   F(c_in x, ¼ ln σ) = (D(x, σ) − c_skip x)/c_out,
//
// so that denoiser() is `denoiser` to the rounding of x's dtype, on `device`. Labels are not passed on.
// c10::Error unless the options' parameterization is edm.
Model formula_model(const Denoiser& denoiser, const ModelOptions& options, const torch::Device& device);

}  // namespace cm
