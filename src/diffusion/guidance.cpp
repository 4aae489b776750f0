#include "cm/diffusion/guidance.h"

#include <cmath>

namespace cm {

Denoiser guided(Denoiser of_class, Denoiser of_null, double w) {
  TORCH_CHECK(std::isfinite(w) && w >= 0, "a guidance weight must be at least 0, got ", w);
  if (w == 1) return of_class;
  if (w == 0) return of_null;
  return
      [w, d_class = std::move(of_class), d_null = std::move(of_null)](const Tensor& x, const Tensor& sigma) {
        const Tensor null = d_null(x, sigma);
        return null + w * (d_class(x, sigma) - null);
      };
}

int64_t guided_evaluations(double w) {
  return w == 0 || w == 1 ? 1 : 2;
}

}  // namespace cm
