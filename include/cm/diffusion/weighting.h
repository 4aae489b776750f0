// The loss weighting λ(σ) (EDM Table 1; the official release's weight schedules), snr = 1/σ².
#pragma once

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

enum class Weighting { snr, snr_plus_1, karras, truncated_snr, uniform, flow };
template <>
inline constexpr std::string_view kNameOf<Weighting::snr_plus_1> = "snr+1";
template <>
inline constexpr std::string_view kNameOf<Weighting::truncated_snr> = "truncated-snr";

// snr: 1/σ²; snr+1: 1/σ² + 1; karras: 1/σ² + 1/σ_d²; truncated-snr: max(1/σ², 1); uniform: 1; flow: (1 +
// σ)²/σ², 1 for the velocity on the linear path. Of sigma's shape.
Tensor weight(Weighting weighting, const Tensor& sigma, double sigma_data);

}  // namespace cm
