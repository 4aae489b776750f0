// A denoiser that keeps what it was asked and what it answered.
#pragma once

#include <vector>

#include "cm/diffusion/denoiser.h"

namespace cm::test {

struct DenoiserCalls {
  std::vector<Tensor> x;
  std::vector<Tensor> sigma;
  std::vector<Tensor> denoised;
};

// `calls` must outlive the denoiser.
inline Denoiser recorded(Denoiser denoiser, DenoiserCalls& calls) {
  return [&calls, inner = std::move(denoiser)](const Tensor& x, const Tensor& sigma) {
    calls.x.push_back(x);
    calls.sigma.push_back(sigma);
    calls.denoised.push_back(inner(x, sigma));
    return calls.denoised.back();
  };
}

}  // namespace cm::test
