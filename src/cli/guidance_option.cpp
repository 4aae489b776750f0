#include "cm/cli/guidance_option.h"

#include <CLI/CLI.hpp>

#include "cm/cli/number_option.h"

namespace cm {

void add_guidance_options(CLI::App& app, Guidance& guidance, std::optional<std::string>& guide) {
  add_number_option(app, "--guidance", guidance.weight,
                    "guidance D_weak + w (D - D_weak): 1 is none; above 1 makes images more typical, with "
                    "less variety, at twice the evaluations; 0 is the weaker one alone. That is the model "
                    "itself without the class, if it was trained with train.label_dropout, or --guide",
                    at_least(0))
      ->capture_default_str();
  app.add_option("--guide", guide,
                 "a weaker model for --guidance to lead away from (autoguidance): smaller or trained less, a "
                 "weight file, a checkpoint folder or a run")
      ->type_name("PATH");
  add_number_option(app, "--guidance-sigma-min", guidance.sigma_min,
                    "guide at noise levels above this one only", at_least(0));
  add_number_option(app, "--guidance-sigma-max", guidance.sigma_max,
                    "guide at noise levels up to this one only; both: in between, which spares evaluations",
                    above(0));
}

}  // namespace cm
