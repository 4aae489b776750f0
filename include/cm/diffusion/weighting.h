// The loss weighting λ(σ) (EDM Table 1; the official release's weight schedules), snr = 1/σ².
#pragma once

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

enum class Weighting { snr, snr_plus_1, karras, truncated_snr, uniform };
template <>
struct EnumNames<Weighting> {
  static constexpr std::array names = {
      EnumName{Weighting::snr, "snr"}, EnumName{Weighting::snr_plus_1, "snr+1"},
      EnumName{Weighting::karras, "karras"}, EnumName{Weighting::truncated_snr, "truncated-snr"},
      EnumName{Weighting::uniform, "uniform"}};
};

// snr: 1/σ²; snr+1: 1/σ² + 1; karras: 1/σ² + 1/σ_d²; truncated-snr: max(1/σ², 1); uniform: 1. Of sigma's
// shape.
Tensor weight(Weighting weighting, const Tensor& sigma, double sigma_data);

}  // namespace cm
