// The loss of continuous-time consistency models in TrigFlow (sCM; Lu & Song, arXiv 2410.11081, §4), as
// equations of the raw network F(x_t/σ_d, t); the consistency function is f = cos(t) x_t − sin(t) σ_d F.
#pragma once

#include "cm/diffusion/preconditioning.h"

namespace cm {

struct ScmTangent {
  Tensor output;  // F, differentiable in its parameters
  Tensor g;       // without gradient
};

// g = −cos² t (σ_d F − dx_t/dt) − r cos t sin t (x_t + σ_d dF/dt), dF/dt along the trajectory (sCM Algorithm
// 1): for r = 1, cos t · df/dt, which vanishes for a consistency function. `warmup` is r, [B]. Both by one
// pass.
ScmTangent scm_tangent(const RawNetwork& network, const PathPoint& point, const Tensor& warmup,
                       double sigma_data);

// g/(‖g‖ + c), ‖·‖ the root mean square over each sample.
Tensor normalized_tangent(const Tensor& tangent, double c);

// e^w/D ‖F − sg F − g‖² − w with D the numbers in a sample: [B]. Its gradient in F is −2 e^w g/D. `output` is
// F [B, …], log_weight w [B].
Tensor scm_loss(const Tensor& output, const Tensor& tangent, const Tensor& log_weight);

}  // namespace cm
