// Guidance on the command line, the same for every executable that samples.
#pragma once

#include <optional>
#include <string>

#include "cm/diffusion/guidance.h"

namespace CLI {
class App;
}

namespace cm {

// Declares --guidance, --guidance-sigma-min, --guidance-sigma-max (cm/diffusion/guidance.h) and --guide, the
// weights of the model that is led away from (cm/training/guided_model.h).
void add_guidance_options(CLI::App& app, Guidance& guidance, std::optional<std::string>& guide);

}  // namespace cm
