#include "cm/training/kd_objective.h"

#include "draws.h"

namespace cm {

Method method_of(const KdOptions& options, int64_t) {
  return {.takes_pairs = true,
          .parameterizations = {Parameterization::skip, Parameterization::piecewise, Parameterization::trig},
          .distance = DistanceChoice{.kind = options.distance}};
}

// d(f(x_T, σ_max), x), x = the teacher's walk from x_T = σ_max z.
Objective objective_of(const KdOptions&, const Binding& binding) {
  const double sigma_max = binding.student.options().sigma.max;
  const auto draw = [seed = binding.seed](const TrainingBatch& batch) {
    TORCH_CHECK(batch.x_T.defined(), "knowledge distillation learns from pairs");
    return Draws{batch.x_T, {}, draw_dropout_keys(seed, batch)};
  };
  const auto losses = [&student = binding.student, distance = binding.distance, sigma_max](
                          const TrainingBatch& batch, const Draws& draws) {
    const Tensor& x_T = draws.noise;
    const Denoiser f = student.denoiser(batch.labels, draws.dropout_keys);
    return distance(f(x_T, torch::full({x_T.size(0)}, sigma_max, x_T.options())), batch.x);
  };
  return drawn_objective(draw, losses, [sigma_max](int64_t, const std::vector<int64_t>& samples) {
    return torch::full({static_cast<int64_t>(samples.size())}, sigma_max, torch::kFloat64);
  });
}

}  // namespace cm
