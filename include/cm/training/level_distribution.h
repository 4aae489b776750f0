// How noise levels are drawn in training.
#pragma once

namespace cm {

enum class LevelDistribution {
  log_normal,  // ln σ ~ N(p_mean, p_std²) (EDM)
  uniform,     // σ/(1 + σ), the time of the linear path (cm/diffusion/path.h), as flow matching has it
};

}  // namespace cm
