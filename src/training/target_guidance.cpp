#include "target_guidance.h"

namespace cm {

PathPoint guided_point(const TargetGuidance& guidance, const Model& student, const PathPoint& at,
                       const Tensor& labels) {
  if (!guidance.guides()) return at;
  const auto [z, t, v] = at;
  const torch::NoGradGuard no_graph;
  const auto velocity = [&, z = z, t = t](const Tensor& of) { return student.mean_velocity(of)(z, t, t); };
  const double omega = guidance.omega;
  const double kappa = guidance.kappa;
  Tensor guided = omega * v + (1 - omega - kappa) * velocity(torch::full_like(labels, kNullClass));
  if (kappa > 0) guided = guided + kappa * velocity(labels);
  const Tensor inside = (t >= guidance.t_min).logical_and(t <= guidance.t_max);
  return {z, t, torch::where(per_sample(inside.logical_and(labels != kNullClass), v), guided, v)};
}

}  // namespace cm
