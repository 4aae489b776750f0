// The body of cm-average: an average of a run's weights whose width is chosen after training.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cm {

struct AverageCommand {
  std::string run;
  double std = 0;             // σ_rel
  std::optional<int64_t> at;  // step; default: of the last snapshot
  std::string out;            // the weight file
  bool force = false;
};

// Writes the weight file of power_average (cm/training/power_snapshots.h) and says what it is made of;
// returns 0. InputError as that, and for a file that is there already, before anything is written.
int run_average_command(const AverageCommand& command);

}  // namespace cm
