// Student's t distribution, shifted, scaled and cut to an interval.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

struct StudentT {
  double degrees;  // of freedom; (0, 1000]
  double mean;
  double scale;
};

// x = mean + scale · τ given lower ≤ x ≤ upper, of density ∝ (1 + τ²/ν)^{−(ν + 1)/2}.
//
// With τ = √ν sinh s that is cosh(s)^{−ν} ds: smooth and, at the few hundredths of a degree that TCM has,
// next to constant where the density of x falls over many orders of magnitude. So its integral is tabulated
// in s and inverted by Newton's method, to the rounding of doubles, without a special function.
class TruncatedT {
 public:
  TruncatedT(const StudentT& whole, double lower, double upper);

  // The x below which a share u in [0, 1) lies. float64 [B], as u.
  Tensor quantile(const Tensor& u) const;

 private:
  Tensor density(const Tensor& s) const;
  Tensor integral(const Tensor& from, const Tensor& to) const;

  StudentT whole_;
  double highest_ = 0;  // the largest −ln cosh s of the interval
  Tensor knots_;        // of s
  Tensor cumulated_;    // the integral up to each
};

}  // namespace cm
