#include "cm/diffusion/flow_map.h"

namespace cm {
namespace {

constexpr double kRho = 7;

}  // namespace

Denoiser ending_at(FlowMap map, double s) {
  return [inner = std::move(map), s](const Tensor& x, const Tensor& t) {
    return inner(x, t, torch::full_like(t, s));
  };
}

FlowMap solved_flow(Solver solver, Denoiser denoiser, int64_t steps) {
  TORCH_CHECK(steps >= 1, "a flow takes at least 1 step, got ", steps);
  return [solver, inner = std::move(denoiser), steps](const Tensor& x, const Tensor& t, const Tensor& s) {
    const bool to_zero = (s == 0).all().item<bool>();
    TORCH_CHECK((t > 0).all().item<bool>() && (to_zero || (s > 0).all().item<bool>()),
                "a flow starts above level 0, and ends above it for all samples or at it for all");
    const Tensor start = t.pow(1 / kRho);
    const Tensor way = s.pow(1 / kRho) - start;
    Tensor point = x;
    Tensor level = t;
    for (int64_t i = 1; i <= steps; ++i) {
      const bool last = i == steps;
      const Tensor next =
          last ? s : (start + static_cast<double>(i) / static_cast<double>(steps) * way).pow(kRho);
      point = solver_step(last && to_zero ? rule_to_zero(solver) : solver, inner, point, level, next);
      level = next;
    }
    return point;
  };
}

}  // namespace cm
