#include "ranks.h"

#include "cm/base/log.h"
#include "cm/distributed/launch.h"

namespace cm {

Ranks join_ranks(const CommonOptions& common) {
  const Launch launch = launch_of_this_process();
  const torch::Device device = parse_device(common.device, launch.local_rank);
  const World world = connect(launch, device);
  if (!world.is_first()) silence_log();
  return {world, device};
}

}  // namespace cm
