#include "cm/training/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::ElementsAre;

std::vector<std::string> lines_of(const fs::path& path) {
  std::istringstream text(read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

void log_steps(const fs::path& run, int64_t from, int64_t to) {
  RunLog log(run, from);
  for (int64_t step = from + 1; step <= to; ++step) log.metrics({{"step", step}, {"from", from}});
}

TEST(RunLog, OneLineAStep) {
  const TemporaryFolder run;
  RunLog log(run.path(), 0);
  log.metrics({{"step", 1}, {"loss", 0.5}});
  EXPECT_THAT(lines_of(run / "metrics.jsonl"), ElementsAre(R"({"step":1,"loss":0.5})"));
  EXPECT_FALSE(fs::is_empty(run / "tensorboard"));
}

TEST(RunLog, ResumingDropsTheLinesOfLaterSteps) {
  const TemporaryFolder run;
  log_steps(run.path(), 0, 4);
  log_steps(run.path(), 2, 3);
  EXPECT_THAT(lines_of(run / "metrics.jsonl"),
              ElementsAre(R"({"step":1,"from":0})", R"({"step":2,"from":0})", R"({"step":3,"from":2})"));
}

TEST(RunLog, ALineCutByACrashIsDropped) {
  const TemporaryFolder run;
  write_file_atomically(run / "metrics.jsonl", "{\"step\":1}\n{\"step\":2,\"lo");
  log_steps(run.path(), 2, 3);
  EXPECT_THAT(lines_of(run / "metrics.jsonl"), ElementsAre(R"({"step":1})", R"({"step":3,"from":2})"));
}

TEST(RunLog, LinesWithoutAStepAreDropped) {
  const TemporaryFolder run;
  write_file_atomically(run / "metrics.jsonl", R"({"step":1}
{"step":"1"}
{"step":null}
{"step":0.5}
{"loss":1}
[1]
)");
  log_steps(run.path(), 2, 3);
  EXPECT_THAT(lines_of(run / "metrics.jsonl"), ElementsAre(R"({"step":1})", R"({"step":3,"from":2})"));
}

TEST(RunLog, PicturesAreNamedByTheirStep) {
  const TemporaryFolder run;
  RunLog(run.path(), 0).samples(torch::zeros({1, 4, 4}, torch::kUInt8), 1000);
  EXPECT_TRUE(fs::exists(run / "samples/step-00001000.png"));
}

}  // namespace
}  // namespace cm
