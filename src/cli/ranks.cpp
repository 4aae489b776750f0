#include "ranks.h"

#include <cstdlib>

#include "cm/base/log.h"
#include "cm/distributed/launch.h"
#include "cm/yaml/scalar.h"

namespace cm {
namespace {

constexpr const char* kMeetingVariable = "CM_MEETING_SECONDS";

double seconds_to_meet() {
  const char* const text = std::getenv(kMeetingVariable);
  if (text == nullptr || *text == '\0') return kUsualTimeout;
  const auto seconds = parse_integer(text);
  if (!seconds || *seconds < 1) {
    throw InputError(
        concat("the environment variable ", kMeetingVariable, " is '", text,
               "', a whole number of seconds is needed, 1 or more: how long processes wait for one "
               "another at their start; unset it to wait for ",
               kUsualTimeout));
  }
  return static_cast<double>(*seconds);
}

}  // namespace

Ranks join_ranks(const CommonOptions& common) {
  const Launch launch = launch_of_this_process();
  const torch::Device device = parse_device(common.device, launch.local_rank);
  const World world = connect(launch, device, seconds_to_meet());
  world.set_timeout(kUsualTimeout);
  if (!world.is_first()) silence_log();
  return {world, device};
}

}  // namespace cm
