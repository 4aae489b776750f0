// metrics.jsonl of a run that is resumed.
#include "cm/training/run_log.h"

#include <sstream>

#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> run_log_seeds() {
  return {"{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"loss\": null}\n{\"step\": 3, \"lo",
          "{\"step\":5}\n\n[1]\n"};
}

void resume_run_log(const std::string& input) {
  const std::filesystem::path run = scratch() / "logged";
  std::filesystem::remove_all(run);
  std::filesystem::create_directories(run);
  file_of(input, "logged/metrics.jsonl");
  RunLog(run, 2).metrics({{"step", 3}, {"loss", 0.25}});
  std::istringstream lines(read_file(run / "metrics.jsonl"));
  int64_t last = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line);
    require(json.is_object() && json["step"].is_number_integer(), "each line that is kept is whole");
    last = json["step"].get<int64_t>();
    require(last <= 3, "no line that is kept is of a later step");
  }
  require(last == 3, "the line that was added is the last");
}

const Listed kRunLog({"run_log", run_log_seeds, resume_run_log});

}  // namespace
}  // namespace cm::fuzz
