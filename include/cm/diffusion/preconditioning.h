// From a raw network F_θ to a denoiser or a consistency function.
//
//   D(x, σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x, c_noise(σ))                       (EDM Eq. 7)
//
// with the scalings that the parameterization prescribes (EDM Table 1; CM Eq. 4 and 5, Appendix C).
#pragma once

#include <functional>

#include "cm/base/fields.h"
#include "cm/diffusion/denoiser.h"

namespace cm {

enum class Parameterization {
  edm,        // a diffusion model's denoiser
  skip,       // a consistency function with skip connection (CM Eq. 5); f(x, σ_min) = x by construction
  piecewise,  // a consistency function that is x at σ_min and F elsewhere (CM Eq. 4)
};
template <>
struct EnumNames<Parameterization> {
  static constexpr std::array names = {EnumName{Parameterization::edm, "edm"},
                                       EnumName{Parameterization::skip, "skip"},
                                       EnumName{Parameterization::piecewise, "piecewise"}};
};

struct Preconditioning {
  Parameterization parameterization = Parameterization::skip;
  double sigma_data = 0.5;
  double sigma_min = 0.002;
};

template <class Visitor>
void fields(Visitor& visit, Preconditioning& o) {
  visit("parameterization", o.parameterization,
        "edm: denoiser; skip, piecewise: consistency functions of CM Eq. 5 and Eq. 4");
  visit("sigma_data", o.sigma_data, "standard deviation of the data", above(0));
  visit("sigma_min", o.sigma_min, "noise level of the boundary condition f(x, σ_min) = x", at_least(0));
}

// Each of sigma's shape and dtype.
struct Scalings {
  Tensor c_skip;
  Tensor c_out;
  Tensor c_in;
};

// edm:       c_skip = σ_d²/(σ² + σ_d²),            c_out = σ σ_d/√(σ² + σ_d²)
// skip:      c_skip = σ_d²/((σ − σ_min)² + σ_d²),  c_out = σ_d (σ − σ_min)/√(σ² + σ_d²)
// piecewise: c_skip = [σ = σ_min],                 c_out = [σ ≠ σ_min]
// and c_in = 1/√(σ² + σ_d²) in all three.
Scalings scalings(const Preconditioning& preconditioning, const Tensor& sigma);

// The network's time input, 1000 · ¼ ln(σ + 1e−44) (the release; EDM's c_noise times 1000).
Tensor network_time(const Tensor& sigma);

// (c_in x, time [B]) → F, of x's shape.
using RawNetwork = std::function<Tensor(const Tensor& x, const Tensor& time)>;

// The denoiser D above.
Denoiser precondition(const Preconditioning& preconditioning, RawNetwork network);

}  // namespace cm
