#include "cm/diffusion/path.h"

namespace cm {

Tensor Path::time(const Tensor& sigma) const {
  if (kind == PathKind::linear) return sigma / (1 + sigma);
  return (sigma / sigma_data).atan();
}

Tensor Path::level(const Tensor& t) const {
  if (kind == PathKind::linear) return t / (1 - t);
  return sigma_data * t.tan();
}

Tensor Path::scale(const Tensor& t) const {
  return kind == PathKind::linear ? 1 - t : t.cos();
}

PathPoint Path::between(const Tensor& x, const Tensor& e, const Tensor& t) const {
  if (kind == PathKind::linear) return {per_sample(1 - t, x) * x + per_sample(t, x) * e, t, e - x};
  const Tensor z = sigma_data * e;
  const Tensor cos = per_sample(t.cos(), x);
  const Tensor sin = per_sample(t.sin(), x);
  return {cos * x + sin * z, t, cos * z - sin * x};
}

Tensor Path::velocity(const Denoiser& denoiser, const Tensor& z, const Tensor& t) const {
  const Tensor data = denoiser(z / per_sample(scale(t), z), level(t));
  if (kind == PathKind::linear) return (z - data) / per_sample(t, z);
  return (per_sample(t.cos(), z) * z - data) / per_sample(t.sin(), z);
}

Tensor Path::reach(const Tensor& t, const Tensor& s) const {
  return kind == PathKind::linear ? t - s : (t - s).sin();
}

Tensor Path::move(const Tensor& z, const Tensor& u, const Tensor& t, const Tensor& s) const {
  const Tensor stays = kind == PathKind::linear ? z : per_sample((t - s).cos(), z) * z;
  return stays - per_sample(reach(t, s), z) * u;
}

Tensor Path::drift_of_start(const PathPoint& at, const Tensor& u, const Tensor& du_dt,
                            const Tensor& s) const {
  const Tensor span = per_sample(at.t - s, u);
  if (kind == PathKind::linear) return u - at.velocity + span * du_dt;
  return span.cos() * (u - at.velocity) + span.sin() * (at.z + du_dt);
}

Tensor Path::drift_of_end(const PathPoint& at, const Tensor& u, const Tensor& du_ds, const Tensor& s) const {
  const Tensor span = per_sample(at.t - s, u);
  if (kind == PathKind::linear) return u - span * du_ds;
  return span.cos() * u + span.sin() * (at.z - du_ds);
}

FlowMap flow_of(const Path& path, MeanVelocity u) {
  return [path, u = std::move(u)](const Tensor& x, const Tensor& sigma, const Tensor& sigma_end) {
    const Tensor t = path.time(sigma);
    const Tensor s = path.time(sigma_end);
    const Tensor z = per_sample(path.scale(t), x) * x;
    return path.move(z, u(z, t, s), t, s) / per_sample(path.scale(s), x);
  };
}

}  // namespace cm
