// What the launcher of this process (torchrun, srun, mpirun) says of its place among the others.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace cm {

// By default: one process alone.
struct Launch {
  int64_t rank = 0;             // 0 … size − 1
  int64_t size = 1;             // processes in all
  int64_t local_rank = 0;       // among those of this machine; 0 where the launcher does not say
  std::string host;             // where all meet
  int64_t port = 0;             // at `host`
  bool launcher_hosts = false;  // the launcher itself listens there, otherwise rank 0 does
  std::string attempt = "0";    // tells the launcher's restarts apart
  std::string told_by = "the launcher's variables";  // those of rank and size: "RANK and WORLD_SIZE"
};

// The value of an environment variable; nullopt when it is not set or empty.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// Looks, in this order, for the variables of
//   torchrun   RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT
//   Open MPI   OMPI_COMM_WORLD_RANK, …_SIZE, …_LOCAL_RANK
//   MPICH      PMI_RANK, PMI_SIZE, MPI_LOCALRANKID
//   srun       SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID
// Slurm sets SLURM_PROCID and SLURM_NTASKS for a batch script too, which is none of the tasks; the size of
// the step is set by srun alone. (srun, "output environment variables", https://slurm.schedmd.com/srun.html.)
// MASTER_ADDR and MASTER_PORT are taken from any of them. Without an address it is this machine where all
// processes run on it, or the first of Slurm's nodes; without a port one made of Slurm's job number, or
// 29500. InputError for half a set, for what is no number, a rank beyond the size, or no address to meet at.
Launch read_launch(const Environment& environment);

// The same from the environment of this process.
Launch launch_of_this_process();

// InputError when the launch has several processes, for a `program` whose work is not divided.
void check_alone(const Launch& launch, const std::string& program);

}  // namespace cm
