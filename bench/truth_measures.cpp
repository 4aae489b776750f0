#include "truth_measures.h"

#include <cmath>
#include <numbers>

#include "cm/diffusion/sampler.h"
#include "cm/kernels/normal.h"

namespace cm::truths {
namespace {

constexpr int64_t kLevels = 4;
constexpr int64_t kDirections = 32;

Tensor levels_of(const Tensor& x, double sigma) {
  return torch::full({x.size(0)}, sigma, x.options());
}

Tensor as_images(const Tensor& points) {
  return points.to(torch::kFloat32).view({-1, 2, 1, 1});
}

Tensor answers(const Denoiser& f, const Tensor& x, double sigma) {
  return no_grad([&] { return f(x, levels_of(x, sigma)); });
}

Tensor second_step(const Denoiser& f, const Reference& reference, const Tensor& first) {
  const double sigma = second_time(reference);
  return answers(f, first + added_noise(sigma, reference.range.min) * reference.noise, sigma);
}

// √(mean over levels of ‖f_j − f̄‖²/2), its mean over trajectories; `all` holds f_j [B, 2, 1, 1] a level.
double self_consistency(const std::vector<Tensor>& all) {
  const Tensor stacked = torch::stack(all);
  return (stacked - stacked.mean(0)).square().flatten(2).mean(2).mean(0).sqrt().mean().item<double>();
}

}  // namespace

Reference make_reference(const GaussianMixture& data, const SigmaOptions& range, int64_t count,
                         uint64_t seed) {
  Reference reference{.data = data, .range = range};
  const auto samples = sample_range(0, count);
  Tensor x = draw(data, range.max, seed, 0, samples);
  for (int64_t i = 0; i <= kLevels; ++i) {
    const double sigma = karras_sigma(range, kLevels + 1, static_cast<double>(i));
    if (i > 0) x = flow_of(data)(x, levels_of(x, reference.levels.back()), levels_of(x, sigma));
    if (i == kLevels) break;
    reference.levels.push_back(sigma);
    reference.points.push_back(as_images(x));
  }
  reference.ends = as_images(x);
  reference.noise = normal({.seed = seed, .purpose = Purpose::sampling_noise}, samples, {2, 1, 1});
  reference.two_steps = second_step(consistency_of(data, range.min), reference, reference.ends);
  return reference;
}

double second_time(const Reference& reference) {
  return reference.levels.at(reference.levels.size() / 2);
}

double root_mean_square(const Tensor& a, const Tensor& b) {
  return (a - b).to(torch::kFloat64).square().mean().sqrt().item<double>();
}

double sliced_wasserstein(const Tensor& a, const Tensor& b) {
  const Tensor angle = torch::arange(kDirections, torch::kFloat64) * (std::numbers::pi / kDirections);
  const Tensor directions = torch::stack({angle.cos(), angle.sin()});
  const auto quantiles = [&](const Tensor& points) {
    return std::get<0>(points.to(torch::kFloat64).flatten(1).mm(directions).sort(0));
  };
  return root_mean_square(quantiles(a), quantiles(b));
}

Json measure(const Denoiser& f, const Reference& reference, bool at_every_level) {
  std::vector<Tensor> all;
  Json rms = Json::array();
  const size_t count = at_every_level ? reference.levels.size() : 1;
  for (size_t i = 0; i < count; ++i) {
    all.push_back(answers(f, reference.points[i], reference.levels[i]));
    rms.push_back({{"sigma", reference.levels[i]}, {"rms", root_mean_square(all.back(), reference.ends)}});
  }
  const Tensor ends = levels_of(all.front(), reference.range.min);
  const Tensor modes = responsibilities(reference.data, all.front(), ends).mean(0);
  Json two_steps = nullptr;
  if (at_every_level) {
    two_steps = sliced_wasserstein(second_step(f, reference, all.front()), reference.two_steps);
  }
  return {{"rms", rms},
          {"self_consistency", at_every_level ? Json(self_consistency(all)) : Json(nullptr)},
          {"modes", std::vector<double>(modes.data_ptr<double>(), modes.data_ptr<double>() + modes.numel())},
          {"sliced_wasserstein",
           {{"one_step", sliced_wasserstein(all.front(), reference.ends)}, {"two_steps", two_steps}}}};
}

Json measure_map(const FlowMap& map, const Reference& reference) {
  Json pairs = Json::array();
  double sum = 0;
  const auto add = [&](size_t from, double s, const Tensor& exact) {
    const double t = reference.levels[from];
    const Tensor& x = reference.points[from];
    const Tensor moved = no_grad([&] { return map(x, levels_of(x, t), levels_of(x, s)); });
    const double rms = root_mean_square(moved, exact) / (1 + s);
    pairs.push_back({{"t", t}, {"s", s}, {"rms", rms}});
    sum += rms * rms;
  };
  for (size_t from = 0; from < reference.levels.size(); ++from) {
    for (size_t to = from + 1; to < reference.levels.size(); ++to)
      add(from, reference.levels[to], reference.points[to]);
    add(from, 0, reference.ends);
  }
  return {{"pairs", pairs}, {"rms", std::sqrt(sum / static_cast<double>(pairs.size()))}};
}

}  // namespace cm::truths
