#include "cm/cli/guidance_option.h"

#include <CLI/CLI.hpp>

#include "cm/cli/number_option.h"

namespace cm {

void add_guidance_option(CLI::App& app, double& guidance) {
  add_number_option(app, "--guidance", guidance,
                    "classifier-free guidance D_null + w (D_class - D_null), for models trained with "
                    "train.label_dropout: 1 is none; above 1 follows the class more closely, with less "
                    "variety, at twice the evaluations; 0 leaves the class out",
                    at_least(0))
      ->capture_default_str();
}

}  // namespace cm
