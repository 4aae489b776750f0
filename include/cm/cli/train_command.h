// The body of the cm-train-* executables.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cm/cli/command_line.h"
#include "cm/run/run_config.h"

namespace cm {

// Whether to go on with the run in the folder; `if_there` starts one where there is none.
enum class Resume { no, yes, if_there };

struct TrainCommand {
  std::string program;  // "cm-train-edm"
  CommonOptions common;
  std::optional<std::string> config;
  std::string out;
  std::vector<std::string> overrides;  // key=value
  Resume resume = Resume::no;
  bool dry_run = false;
};

// Trains and returns the exit code 0. InputError for mistakes in the command, the config, the data or the
// weights, before anything is written; Error when the run fails.
int run_train_command(const TrainCommand& command);

// The main of a training executable: its command line, then run_train_command.
int train_main(int argc, const char* const* argv, const std::string& program, const std::string& description);

}  // namespace cm
