// state.json of a checkpoint, beside whole weights.
#include "cm/training/checkpoint.h"
#include "cm/training/weight_choice.h"
#include "fuzz/fuzz_target.h"
#include "support/tiny_run.h"
#include "training/save_checkpoint.h"

namespace cm::fuzz {
namespace {

struct Resumed {
  test::TinyRun run{kObjective<EdmOptions>};
  std::filesystem::path checkpoint;
};

Resumed& resumed_run() {
  static Resumed resumed;
  if (resumed.checkpoint.empty()) {
    std::filesystem::create_directories(scratch() / "run");
    test::save_checkpoint(scratch() / "run", resumed.run.trainer, 0);
    resumed.checkpoint = *latest_checkpoint(scratch() / "run");
  }
  return resumed;
}

std::vector<std::string> state_seeds() {
  return {R"({"step": 4, "steps_in_stage": 4, "optimizer_updates": 4, "skipped": 0})", R"({"step": 12})",
          R"({"step": 3, "loss_scale": {"value": 1024.0, "clean_steps": 3}, "skipped": 1})"};
}

void read_state_file(const std::string& input) {
  Resumed& resumed = resumed_run();
  std::ofstream(resumed.checkpoint / "state.json", std::ios::binary | std::ios::trunc) << input;
  const auto summary = checkpoint_summary(resumed.checkpoint);
  require(summary && summary->step >= 0 && summary->steps_in_stage >= 0, "no run has done less than 0 steps");
  resolve_weights(resumed.checkpoint);
  load_checkpoint(resumed.checkpoint, resumed.run.trainer);
  require(resumed.run.trainer.steps_done() == summary->step, "the trainer goes on where the state says");
}

const Listed kState({"state", state_seeds, read_state_file});

}  // namespace
}  // namespace cm::fuzz
