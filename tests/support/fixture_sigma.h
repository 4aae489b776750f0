// Noise levels as the fixtures' sidecars write them.
#pragma once

#include "cm/diffusion/discretization.h"
#include "cm/io/json.h"

namespace cm::test {

inline SigmaOptions sigma_options(const Json& config) {
  SigmaOptions sigma;
  sigma.min = config.value("sigma_min", sigma.min);
  sigma.max = config.value("sigma_max", sigma.max);
  sigma.data = config.value("sigma_data", sigma.data);
  sigma.rho = config.value("rho", sigma.rho);
  return sigma;
}

}  // namespace cm::test
