#include "cm/distributed/launch.h"

#include <array>
#include <charconv>
#include <cstdlib>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr int64_t kMostRanks = 1000000;
constexpr int64_t kLastPort = 65535;
constexpr int64_t kUsualPort = 29500;
// Ports of Slurm's jobs: below the usual one, and below those that Linux hands out itself (from 32768).
constexpr int64_t kFirstJobPort = 20000;
constexpr int64_t kJobPorts = 9500;

// The variables by which a launcher numbers its processes.
struct Numbering {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};

constexpr Numbering kTorchrun = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
constexpr Numbering kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                                "OMPI_COMM_WORLD_LOCAL_SIZE"};
constexpr Numbering kMpich = {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"};
constexpr Numbering kSrun = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr};

// A whole number from `min` to `max`; nullopt when the variable is not set.
std::optional<int64_t> number(const Environment& environment, const char* name, int64_t min, int64_t max) {
  const auto text = name == nullptr ? std::nullopt : environment(name);
  if (!text) return std::nullopt;
  int64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, failure] = std::from_chars(text->data(), end, value);
  if (failure != std::errc() || stop != end || value < min || value > max) {
    throw InputError(
        concat("the environment variable ", name, " is '", *text, "', a whole number from ", min, " to ", max,
               " is needed; the launcher (torchrun, srun, mpirun) sets it, unset it to run alone"));
  }
  return value;
}

[[noreturn]] void fail_half_set(const char* set, const char* missing) {
  throw InputError(
      concat("the environment variable ", set, " is set and ", missing,
             " is not; start with torchrun, srun or mpirun, which set both, or unset it to run alone"));
}

// Which launcher's variables are there.
std::optional<Numbering> numbering_of(const Environment& environment) {
  const auto has = [&](const char* name) { return environment(name).has_value(); };
  const bool srun = has(kSrun.rank) && has(kSrun.size);
  for (const Numbering& one : {kTorchrun, kOpenMpi, kMpich}) {
    // For MPI, srun sets the numbers of kMpich as well, without the local rank.
    if (srun && one.rank == kMpich.rank && !has(one.local_rank)) continue;
    if (has(one.rank) && has(one.size)) return one;
    if (has(one.rank)) fail_half_set(one.rank, one.size);
    if (has(one.size)) fail_half_set(one.size, one.rank);
  }
  return srun ? std::optional(kSrun) : std::nullopt;
}

// "node01" of "node[01-04,07],gpu3".
std::string first_host(const std::string& nodes) {
  std::string host;
  size_t i = 0;
  while (i < nodes.size() && nodes[i] != ',') {
    if (nodes[i] != '[') {
      host += nodes[i++];
      continue;
    }
    const size_t number_end = nodes.find_first_of("-,]", ++i);
    host += nodes.substr(i, number_end - i);
    const size_t close = nodes.find(']', i);
    i = close == std::string::npos ? nodes.size() : close + 1;
  }
  return host;
}

std::string meeting_host(const Environment& environment, const Numbering& numbering, int64_t size) {
  if (const auto host = environment("MASTER_ADDR")) return *host;
  if (number(environment, numbering.local_size, 1, kMostRanks) == size) return "127.0.0.1";
  for (const char* name : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}) {
    const auto nodes = environment(name);
    if (!nodes) continue;
    if (std::string host = first_host(*nodes); !host.empty()) return host;
    throw InputError(concat("the environment variable ", name, " is '", *nodes,
                            "', which names no machine; set MASTER_ADDR to the machine of rank 0"));
  }
  throw InputError(concat(numbering.size, " says that ", size,
                          " processes run together, and not where they meet: set MASTER_ADDR to the machine "
                          "of rank 0 (127.0.0.1 where all run on one) and MASTER_PORT to a free port there"));
}

int64_t meeting_port(const Environment& environment) {
  if (const auto port = number(environment, "MASTER_PORT", 1, kLastPort)) return *port;
  const auto job = number(environment, "SLURM_JOB_ID", 0, std::numeric_limits<int64_t>::max());
  return job ? kFirstJobPort + *job % kJobPorts : kUsualPort;
}

}  // namespace

Launch read_launch(const Environment& environment) {
  Launch launch;
  const auto numbering = numbering_of(environment);
  if (!numbering) return launch;
  launch.size = number(environment, numbering->size, 1, kMostRanks).value_or(1);
  launch.rank = number(environment, numbering->rank, 0, kMostRanks).value_or(0);
  launch.local_rank = number(environment, numbering->local_rank, 0, kMostRanks).value_or(0);
  launch.told_by = concat(numbering->rank, " and ", numbering->size);
  if (launch.rank >= launch.size) {
    throw InputError(concat(numbering->rank, " is ", launch.rank, " and ", numbering->size, " is ",
                            launch.size, ": ranks count from 0 to ", launch.size - 1));
  }
  if (launch.size == 1) return launch;
  launch.host = meeting_host(environment, *numbering, launch.size);
  launch.port = meeting_port(environment);
  launch.launcher_hosts = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.attempt = environment("TORCHELASTIC_RESTART_COUNT").value_or(launch.attempt);
  return launch;
}

Launch launch_of_this_process() {
  return read_launch([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  });
}

void check_alone(const Launch& launch, const std::string& program) {
  if (launch.size == 1) return;
  throw InputError(concat(program, " runs as one process, but was started as one of ", launch.size,
                          "; start it without a launcher"));
}

}  // namespace cm
