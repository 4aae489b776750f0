// What cm-truths trains: every objective on a Gaussian mixture in the plane.
#pragma once

#include <string>
#include <vector>

#include "cm/diffusion/gaussian_mixture.h"
#include "cm/io/json.h"
#include "cm/run/run_config.h"

namespace cm::truths {

// Four Gaussians of unequal weights and widths.
GaussianMixture mixture();

// σ_d: the root mean variance of the data's coordinates.
double sigma_data(const GaussianMixture& data);

struct Case {
  std::string name;
  RunConfig config;
  // The case whose trained weights the student starts from, as in practice; empty: random ones.
  std::string start = {};
};

// `steps`: training steps of each.
std::vector<Case> cases(int64_t steps, int64_t seed);

// All that decides the row's numbers.
Json settings_of(const Case& one);

}  // namespace cm::truths
