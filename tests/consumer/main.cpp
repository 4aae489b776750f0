// Samples unit-variance noise to a Gaussian of standard deviation 0.5 by its closed-form denoiser, and
// averages the result: links a module without networks, one with, and LibTorch.
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "cm/base/random.h"
#include "cm/diffusion/sampler.h"
#include "cm/training/ema.h"

int main() {
  const cm::Denoiser gaussian = [](const cm::Tensor& x, const cm::Tensor& sigma) {
    return x * cm::per_sample(0.25 / (0.25 + sigma.square()), x);
  };
  const cm::Tensor noise = cm::normal({.seed = 1}, cm::sample_range(0, 4096), {1});
  const cm::Tensor samples =
      cm::sample_ode(cm::Solver::heun, gaussian, 80 * noise, cm::sampler_sigmas(cm::SigmaOptions{}, 18));
  cm::update_ema({samples.clone()}, {samples}, 0.5);

  const double deviation = samples.std().item<double>();
  std::cout << "standard deviation " << deviation << ", expected 0.5\n";
  return std::abs(deviation - 0.5) < 0.05 ? EXIT_SUCCESS : EXIT_FAILURE;
}
