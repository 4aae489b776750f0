// The body of cm-info.
#pragma once

#include <string>

namespace cm {

struct InfoCommand {
  std::string path;  // a weight file, a checkpoint folder or a run
  bool json = false;
  bool tensors = false;
  bool watch = false;  // a run's progress, until it has ended or on SIGINT
};

// Prints what the path holds and returns 0. InputError when it is nothing of ours, or is watched and no run.
int run_info_command(const InfoCommand& command);

}  // namespace cm
