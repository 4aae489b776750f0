// One process's place among those that a launcher started, for the executables that divide their work.
#pragma once

#include "cm/cli/command_line.h"
#include "cm/distributed/world.h"

namespace cm {

struct Ranks {
  World world;
  torch::Device device;  // of this rank
};

// Meets the other ranks, waiting for them for CM_MEETING_SECONDS or ten minutes; of all but the first the log
// is silent from here on. InputError as parse_device and launch_of_this_process; Error when the others do not
// come.
Ranks join_ranks(const CommonOptions& common);

}  // namespace cm
