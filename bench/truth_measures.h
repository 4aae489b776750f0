// How far a learned function is from the mixture's exact consistency function.
#pragma once

#include <optional>
#include <vector>

#include "cm/diffusion/discretization.h"
#include "cm/diffusion/gaussian_mixture.h"
#include "cm/io/json.h"

namespace cm::truths {

// Exact trajectories of the mixture, and the images that exact samplers make of their noise: float32
// [B, 2, 1, 1].
struct Reference {
  GaussianMixture data;
  SigmaOptions range;
  std::vector<double> levels = {};  // decreasing from σ_max, without ε
  std::vector<Tensor> points = {};  // each trajectory at each level
  Tensor ends = {};                 // and at ε
  Tensor noise = {};                // what two-step sampling adds, unit normal
  Tensor two_steps = {};            // its images
};

Reference make_reference(const GaussianMixture& data, const SigmaOptions& range, int64_t count,
                         uint64_t seed);

// The level at which two-step sampling goes on.
double second_time(const Reference& reference);

// √(mean (a − b)²) over all numbers.
double root_mean_square(const Tensor& a, const Tensor& b);

// The root mean square over directions of the 2-Wasserstein distance between the projections of two equally
// large sets of points in the plane.
double sliced_wasserstein(const Tensor& a, const Tensor& b);

// Of f(x, σ), or of one that means something at σ_max alone:
//   rms               [{sigma, rms}]: the error against f at each level, over points of exact trajectories
//   self_consistency  the standard deviation of f's answers along a trajectory, averaged over trajectories
//   modes             the share of one-step samples that belongs to each Gaussian
//   sliced_wasserstein {one_step, two_steps}: its samples against exact ones of the same noise
// What cannot be measured is null.
Json measure(const Denoiser& f, const Reference& reference, bool at_every_level);

// Of a flow map between noise levels, the root mean square error of X(x, t, s) against the exact one over
// points of exact trajectories, divided by 1 + s, which makes points at all levels as large as data: for each
// level t with its s < t, {t, s, rms}, the last s being 0, and the root mean square of all.
Json measure_map(const FlowMap& map, const Reference& reference);

}  // namespace cm::truths
