// The weights that an executable samples with, on the command line.
#pragma once

#include <string>
#include <vector>

#include "cm/training/weight_choice.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cm {

// Declares --checkpoint, which is required, --ema and --ema-std: what resolve_weights takes.
void add_checkpoint_options(CLI::App& app, std::string& checkpoint, WeightChoice& choice);

// Declares --ema and --ema-std as lists of averages of the checkpoints that the option `checkpoints` names.
void add_average_options(CLI::App& app, std::vector<double>& ema, std::vector<double>& ema_std,
                         CLI::Option* checkpoints);

}  // namespace cm
