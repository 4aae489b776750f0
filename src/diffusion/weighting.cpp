#include "cm/diffusion/weighting.h"

namespace cm {

Tensor weight(Weighting weighting, const Tensor& sigma, double sigma_data) {
  const Tensor snr = sigma.square().reciprocal();
  switch (weighting) {
    case Weighting::snr:
      return snr;
    case Weighting::snr_plus_1:
      return snr + 1;
    case Weighting::karras:
      return snr + 1 / (sigma_data * sigma_data);
    case Weighting::truncated_snr:
      return snr.clamp_min(1);
    case Weighting::uniform:
      return torch::ones_like(sigma);
    case Weighting::flow:
      return (1 + 1 / sigma).square();
  }
  TORCH_INTERNAL_ASSERT(false, "not a weighting");
}

}  // namespace cm
