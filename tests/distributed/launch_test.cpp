#include "cm/distributed/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

Launch launch_in(const Variables& variables) {
  return read_launch([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

std::string mistake_in(const Variables& variables) {
  return message_of<InputError>([&] { launch_in(variables); });
}

void expect_place(const Launch& launch, int64_t rank, int64_t size, int64_t local_rank,
                  const std::string& host, int64_t port) {
  EXPECT_EQ(launch.rank, rank);
  EXPECT_EQ(launch.size, size);
  EXPECT_EQ(launch.local_rank, local_rank);
  EXPECT_EQ(launch.host, host);
  EXPECT_EQ(launch.port, port);
}

TEST(Launch, WithoutALauncherIsOneProcessAlone) {
  expect_place(launch_in({}), 0, 1, 0, "", 0);
  // A port and an address alone mean nothing.
  expect_place(launch_in({{"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}}), 0, 1, 0, "", 0);
}

TEST(Launch, OutsideOfSrunIsOneProcessAlone) {
  // salloc's shell on the machine that it was called on, sbatch's script, and the shell on a node of the
  // allocation that salloc can open, which is a step of one task.
  Variables variables = {{"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "7"}, {"SLURM_JOB_NODELIST", "a,b"}};
  expect_place(launch_in(variables), 0, 1, 0, "", 0);
  variables["SLURM_PROCID"] = variables["SLURM_LOCALID"] = "0";
  expect_place(launch_in(variables), 0, 1, 0, "", 0);
  variables["SLURM_STEP_ID"] = "4294967290";
  variables["SLURM_STEP_NUM_TASKS"] = "1";
  expect_place(launch_in(variables), 0, 1, 0, "", 0);
}

TEST(Launch, ReadsTorchrunsVariables) {
  const Variables variables = {{"RANK", "5"},
                               {"WORLD_SIZE", "8"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "node0"},
                               {"MASTER_PORT", "1234"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"}};
  const Launch launch = launch_in(variables);
  expect_place(launch, 5, 8, 1, "node0", 1234);
  EXPECT_TRUE(launch.launcher_hosts);
  EXPECT_EQ(launch.attempt, "2");
  EXPECT_FALSE(launch_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}})
                   .launcher_hosts);
}

TEST(Launch, ReadsMpirunsVariables) {
  const Variables open_mpi = {{"OMPI_COMM_WORLD_RANK", "1"},
                              {"OMPI_COMM_WORLD_SIZE", "2"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  expect_place(launch_in(open_mpi), 1, 2, 1, "127.0.0.1", 29500);
  const Variables mpich = {{"PMI_RANK", "2"},        {"PMI_SIZE", "4"},    {"MPI_LOCALRANKID", "0"},
                           {"MPI_LOCALNRANKS", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "99"}};
  expect_place(launch_in(mpich), 2, 4, 0, "a", 99);
}

TEST(Launch, ReadsSrunsVariables) {
  Variables variables = {{"SLURM_PROCID", "3"},         {"SLURM_NTASKS", "8"},
                         {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_LOCALID", "1"},
                         {"SLURM_JOB_ID", "19001"},     {"SLURM_JOB_NODELIST", "gpu[07-09,12],login"}};
  expect_place(launch_in(variables), 3, 4, 1, "gpu07", 20001);
  variables["SLURM_JOB_NODELIST"] = "a-1,b-2";
  EXPECT_EQ(launch_in(variables).host, "a-1");
  variables["SLURM_JOB_NODELIST"] = "rack[1-2]n[3,5]-ib,x";
  EXPECT_EQ(launch_in(variables).host, "rack1n3-ib");
  variables["MASTER_ADDR"] = "b";
  variables["MASTER_PORT"] = "5";
  expect_place(launch_in(variables), 3, 4, 1, "b", 5);
}

TEST(Launch, TellsSrunForMpiFromMpichsMpirun) {
  // srun --mpi=pmi2 sets PMI's numbers too, but leaves out where on its machine a task is.
  Variables variables = {{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "4"},  {"SLURM_LOCALID", "1"},
                         {"SLURM_JOB_ID", "1"}, {"SLURM_STEP_NODELIST", "a,b"}, {"PMI_RANK", "3"},
                         {"PMI_SIZE", "4"}};
  expect_place(launch_in(variables), 3, 4, 1, "a", 20001);
  // Under mpirun, srun's numbers are those of its own helpers, one a machine.
  variables["SLURM_PROCID"] = "1";
  variables["SLURM_STEP_NUM_TASKS"] = "2";
  variables["SLURM_LOCALID"] = "0";
  variables["MPI_LOCALRANKID"] = "1";
  expect_place(launch_in(variables), 3, 4, 1, "a", 20001);
}

TEST(Launch, SaysByWhichVariables) {
  EXPECT_EQ(launch_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}).told_by,
            "RANK and WORLD_SIZE");
}

TEST(Launch, OfSeveralProcessesIsRefusedByWhatRunsAlone) {
  Launch launch;
  EXPECT_NO_THROW(check_alone(launch, "cm-edit"));
  launch.size = 4;
  EXPECT_THAT(message_of<InputError>([&] { check_alone(launch, "cm-edit"); }),
              HasSubstr("cm-edit runs as one process, but was started as one of 4"));
}

TEST(Launch, TellsMistakesAndTheirRemedy) {
  EXPECT_THAT(mistake_in({{"RANK", "0"}}),
              AllOf(HasSubstr("RANK is set and WORLD_SIZE is not"), HasSubstr("unset it to run alone")));
  EXPECT_THAT(mistake_in({{"WORLD_SIZE", "2"}}), HasSubstr("WORLD_SIZE is set and RANK is not"));
  EXPECT_THAT(mistake_in({{"SLURM_PROCID", "4"}, {"SLURM_STEP_NUM_TASKS", "4"}}),
              HasSubstr("SLURM_PROCID is 4 and SLURM_STEP_NUM_TASKS is 4: ranks count from 0 to 3"));
  EXPECT_THAT(mistake_in({{"RANK", "one"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK is 'one', a whole number"));
  EXPECT_THAT(mistake_in({{"RANK", "0"}, {"WORLD_SIZE", "0"}}), HasSubstr("WORLD_SIZE is '0'"));
  EXPECT_THAT(mistake_in({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), HasSubstr("ranks count from 0 to 1"));
  EXPECT_THAT(mistake_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}}),
              HasSubstr("set MASTER_ADDR to the machine of rank 0"));
  for (const char* nodes : {",a", "[", "[]"}) {
    EXPECT_THAT(
        mistake_in({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_STEP_NODELIST", nodes}}),
        HasSubstr(concat("SLURM_STEP_NODELIST is '", nodes, "', which names no machine")));
  }
  EXPECT_THAT(
      mistake_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
      HasSubstr("MASTER_PORT is '70000', a whole number from 1 to 65535"));
}

}  // namespace
}  // namespace cm
