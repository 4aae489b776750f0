// The environment of a launcher, a line NAME=VALUE a variable, Slurm's list of nodes among them.
#include "cm/distributed/launch.h"

#include <map>

#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> launch_seeds() {
  return {
      "SLURM_PROCID=1\nSLURM_STEP_NUM_TASKS=4\nSLURM_LOCALID=0\nSLURM_STEP_NODELIST=node[01-04,07],gpu3\n"
      "SLURM_JOB_ID=12345",
      "RANK=0\nWORLD_SIZE=2\nLOCAL_RANK=0\nLOCAL_WORLD_SIZE=2\nMASTER_PORT=29501",
      "OMPI_COMM_WORLD_RANK=1\nOMPI_COMM_WORLD_SIZE=2\nMASTER_ADDR=host", "PMI_RANK=0\nPMI_SIZE=1"};
}

void read_launcher(const std::string& input) {
  std::map<std::string, std::string> variables;
  for (const std::string& line : pieces(input, '\n')) {
    const size_t equals = line.find('=');
    if (equals < line.size() - 1) variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  const Launch launch = read_launch([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
  require(launch.rank >= 0 && launch.rank < launch.size && launch.local_rank >= 0, "ranks count from 0");
  require(launch.size == 1 || (!launch.host.empty() && launch.port > 0 && launch.port < 65536),
          "several processes have a place to meet");
}

const Listed kLaunch({"launch", launch_seeds, read_launcher});

}  // namespace
}  // namespace cm::fuzz
