// Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): from a denoiser of a class and one of all
// data, a denoiser that follows the class w times as far,
//
//   D_w(x, σ) = D_null(x, σ) + w (D_class(x, σ) − D_null(x, σ))
//
// Since σ² ∇ log p_σ(x) = D(x, σ) − x, its score is that of p(x | class)^w p(x)^(1 − w) at this noise level,
// which is what p(x) p(class | x)^w is proportional to: w = 1 is the class itself, w = 0 all data, w > 1
// favours what is typical of the class, at the price of variety.
#pragma once

#include <cstdint>

#include "cm/diffusion/denoiser.h"

namespace cm {

// D_w; for w = 1 and w = 0 one of the denoisers itself. c10::Error when w is negative or not finite.
Denoiser guided(Denoiser of_class, Denoiser of_null, double w);

// How many denoisers D_w calls: 1 for w = 0 and w = 1, otherwise 2.
int64_t guided_evaluations(double w);

}  // namespace cm
