// Classifier-free guidance on the command line, the same for every executable that samples.
#pragma once

namespace CLI {
class App;
}

namespace cm {

// Declares --guidance, the weight w of cm/diffusion/guidance.h.
void add_guidance_option(CLI::App& app, double& guidance);

}  // namespace cm
