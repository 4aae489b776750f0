#include "scm_loss.h"

#include "cm/diffusion/jvp.h"

namespace cm {

ScmTangent scm_tangent(const RawNetwork& network, const PathPoint& point, const Tensor& warmup,
                       double sigma_data) {
  const auto& [x_t, t, velocity] = point;
  const Tensor cos_sin = t.cos() * t.sin();
  const Tensor cos = per_sample(t.cos(), x_t);
  const Tensor cs = per_sample(cos_sin, x_t);
  // The factor cos t sin t goes into the direction: dF/dt itself grows without bound at the ends (sCM §4.1).
  const auto [output, cs_dF_dt] =
      jvp_with_graph(network, x_t / sigma_data, t, {cs * velocity / sigma_data, cos_sin});
  const Tensor r = per_sample(warmup, x_t);
  return {output,
          -cos.square() * (sigma_data * output.detach() - velocity) - r * (cs * x_t + sigma_data * cs_dF_dt)};
}

Tensor normalized_tangent(const Tensor& tangent, double c) {
  const Tensor rms = tangent.flatten(1).square().mean(1).sqrt();
  return tangent / per_sample(rms + c, tangent);
}

Tensor scm_loss(const Tensor& output, const Tensor& tangent, const Tensor& log_weight) {
  const Tensor difference = output - output.detach() - tangent;
  return log_weight.exp() * difference.square().flatten(1).mean(1) - log_weight;
}

}  // namespace cm
