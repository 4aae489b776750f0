#include "cm/training/tcm_objective.h"

#include <cmath>

#include "draws.h"
#include "ect_pairs.h"
#include "truncated_t.h"

namespace cm {
namespace {

// So much above t′ the boundary's t lies, in double, that r of it is below t′ and the frozen model its
// target.
constexpr double kAboveTransition = 1e-8;

struct TcmLevels {
  Tensor t;
  Tensor at_boundary;  // bool
};

// Either mean is one over its part, the trainer's one over the batch.
Tensor share_weight(const TcmOptions& options, const Tensor& at_boundary) {
  const double share = options.boundary_share;
  const double boundary = share > 0 ? options.boundary_weight / share : 0;
  return torch::where(at_boundary, torch::full_like(at_boundary, boundary, torch::kFloat64),
                      torch::full_like(at_boundary, 1 / (1 - share), torch::kFloat64));
}

// `start` where `below` is 1, `student` where it is 0.
Denoiser joined(const Denoiser& start, const Denoiser& student, const Tensor& below) {
  return [=](const Tensor& x, const Tensor& sigma) {
    return torch::where(per_sample(below > 0, x), start(x, sigma), student(x, sigma));
  };
}

}  // namespace

Method method_of(const TcmOptions& options, int64_t) {
  return {.needs_init = true,
          .keeps_start = true,
          .parameterizations = {Parameterization::skip},
          .transition = options.transition};
}

Objective objective_of(const TcmOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const uint64_t seed = binding.seed;
  const SigmaOptions sigma = student.options().sigma;
  const TruncatedT log_t({options.degrees, options.p_mean, options.p_std}, std::log(options.transition),
                         std::log(sigma.max));
  const auto levels = [options, seed, log_t](int64_t step, const std::vector<int64_t>& samples) {
    const Tensor at_boundary = draw_part(options.boundary_share, seed, step, samples);
    const Tensor t = log_t.quantile(draw_uniform(seed, step, samples)).exp();
    return TcmLevels{t.masked_fill(at_boundary, options.transition + kAboveTransition), at_boundary};
  };
  const auto draw = [options, seed, levels, sigma](const TrainingBatch& batch) {
    const auto [t, at_boundary] = levels(batch.step, batch.samples);
    const Tensor r = ect_previous_level(options.pairs, t, batch.step);
    const Tensor weight = ect_weight(options.pairs, {t, r}, sigma.data) * share_weight(options, at_boundary);
    return draws_of(seed, batch, {t, r, weight, r < options.transition});
  };
  const auto losses = [&student, &start = *binding.start, distance = ect_distance(options.pairs)](
                          const TrainingBatch& batch, const Draws& draws) {
    const SigmaPair pair{draws.levels[0], draws.levels[1]};
    const Tensor& weight = draws.levels[2];
    const Tensor& below = draws.levels[3];
    const Tensor& keys = draws.dropout_keys;
    const Denoiser f = student.denoiser_as(Parameterization::edm, batch.labels, keys);
    const Denoiser frozen = start.denoiser_as(Parameterization::edm, batch.labels, keys);
    return consistency_loss(f, identity_at_zero(joined(frozen, f, below)), data_step(), distance, batch.x,
                            draws.noise, pair, weight);
  };
  return drawn_objective(draw, losses, [levels](int64_t step, const std::vector<int64_t>& samples) {
    return levels(step, samples).t;
  });
}

}  // namespace cm
