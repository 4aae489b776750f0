#include "flow_map_draws.h"

namespace cm {

Interval draw_interval(const IntervalOptions& options, const Path& path, uint64_t seed, int64_t step,
                       const std::vector<int64_t>& samples) {
  const Tensor first = path.time(draw_lognormal({options.p_mean, options.p_std}, seed, step, samples));
  const Tensor second = path.time(
      lognormal_quantile({options.p_mean_s, options.p_std_s}, draw_second_uniform(seed, step, samples)));
  const bool swaps = options.order == IntervalOrder::swap;
  const Tensor t = swaps ? torch::maximum(first, second) : first;
  const Tensor equal = draw_part(options.equal_share, seed, step, samples);
  return {t, torch::where(equal, t, torch::minimum(first, second))};
}

Objective flow_map_objective(const IntervalOptions& interval, const Path& path, uint64_t seed,
                             FlowMapLosses losses,
                             std::function<std::vector<Tensor>(const TrainingBatch& batch)> extra) {
  const auto times = [=](int64_t step, const std::vector<int64_t>& samples) {
    return draw_interval(interval, path, seed, step, samples);
  };
  const auto draw = [=, extra = std::move(extra)](const TrainingBatch& batch) {
    const auto [t, s] = times(batch.step, batch.samples);
    std::vector<Tensor> levels = extra(batch);
    levels.insert(levels.begin(), {t, s});
    return draws_of(seed, batch, levels);
  };
  const auto of_draws = [path, losses = std::move(losses)](const TrainingBatch& batch, const Draws& draws) {
    return losses(batch, {path.between(batch.x, draws.noise, draws.levels[0]),
                          draws.levels[1],
                          {draws.levels.begin() + 2, draws.levels.end()},
                          draws.dropout_keys});
  };
  return drawn_objective(draw, of_draws, [=](int64_t step, const std::vector<int64_t>& samples) {
    return path.level(times(step, samples).t);
  });
}

}  // namespace cm
