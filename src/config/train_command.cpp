#include "cm/config/train_command.h"

#include <ATen/Context.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <optional>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/config/ranks.h"
#include "cm/config/training_run.h"
#include "cm/config/yaml_reader.h"
#include "cm/config/yaml_writer.h"
#include "cm/training/checkpoint.h"
#include "cm/training/train_loop.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.yaml";
constexpr std::array kRunFiles = {"checkpoints", "samples", "tensorboard", "metrics.jsonl", kConfigName};

RunConfig read_run_config(const TrainCommand& command) {
  const bool own = command.resume && !command.config;
  if (!own && !command.config)
    throw InputError("--config is needed (only --resume can do without: it reads the run's own)");
  std::vector<std::string> overrides = command.overrides;
  if (command.common.seed) overrides.push_back(concat("train.seed=", *command.common.seed));
  const auto config = read_config<RunConfig>(
      load_yaml(own ? (fs::path(command.out) / kConfigName).string() : *command.config), overrides);
  if (std::ranges::find(command.objectives, config.objective) == command.objectives.end()) {
    std::vector<std::string> names;
    for (const ObjectiveKind kind : command.objectives) names.push_back(to_string(kind));
    throw InputError(concat("objective is ", to_string(config.objective), ", which ", command.program,
                            " does not train (it trains {", join(names),
                            "}); see cm-train-edm, cm-train-cd, cm-train-ct, cm-train-pd"));
  }
  return config;
}

// Refuses to write over another run, into a folder that is something else, and to resume what is not there.
void check_out(const TrainCommand& command) {
  const fs::path out = command.out;
  if (fs::exists(out) && !fs::is_directory(out)) {
    throw InputError(concat("--out ", command.out, ": is a file; name a folder"));
  }
  const bool holds_run = fs::exists(out / kConfigName);
  if (command.resume && !holds_run) {
    throw InputError(concat("--resume: ", command.out, " holds no run; start one without --resume"));
  }
  if (command.resume || !fs::exists(out) || fs::is_empty(out)) return;
  if (!holds_run) {
    throw InputError(concat("--out ", command.out, ": is not empty and holds no run; name another folder"));
  }
  if (!command.common.force) {
    throw InputError(
        concat("--out ", command.out,
               ": holds a run already; --resume continues it, --force starts over and deletes it"));
  }
}

void clear_old_run(const fs::path& out) {
  for (const char* name : kRunFiles) fs::remove_all(out / name);
}

// Says which settings differ from those that the run was started with. Keys that its version did not have are
// not among them.
void report_changes(const fs::path& file, const std::string& now) {
  std::istringstream old_lines(to_yaml(read_config<RunConfig>(load_yaml(file.string()), {})));
  std::istringstream new_lines(now);
  std::string old_line;
  for (std::string line; std::getline(new_lines, line);) {
    std::getline(old_lines, old_line);
    if (line != old_line)
      log_warning(concat("the run was started with '", old_line, "', it goes on with '", line, "'"));
  }
}

void resume_run(const TrainCommand& command, TrainingRun& run) {
  const auto checkpoint = latest_checkpoint(command.out);
  if (!checkpoint) {
    log_info(concat(command.out, " has no checkpoint yet: starting from step 0"));
    return;
  }
  load_checkpoint(*checkpoint, run.trainer());
  report_changes(fs::path(command.out) / kConfigName, to_yaml(run.config()));
  log_info(concat("resuming from ", checkpoint->string()));
}

double peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

int dry_run(TrainingRun& run) {
  const TrainOptions& train = run.config().train;
  const World& world = run.trainer().world();
  if (world.is_first()) std::cout << run.summary() << '\n';
  Loader loader(run.dataset(), {.batch_size = train.batch_size,
                                .part = world.rank(),
                                .parts = world.size(),
                                .workers = 1,
                                .prefetch = 1});
  const StepResult result = run.trainer().step(loader.next());
  if (!world.is_first()) return 0;
  std::cout << "one step    loss " << result.loss.item<double>() << ", gradient norm "
            << result.gradient_norm.item<double>() << ", peak memory of the process "
            << human_bytes(peak_resident_bytes()) << '\n';
  return 0;
}

void set_numerics(const RunConfig& config) {
  allow_tf32(config.train.dtype);
  if (!config.train.deterministic) return;
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
}

}  // namespace

namespace {

// Everything that can be wrong with what the user gave is found here, on all ranks, before any of them
// writes.
void prepare(const TrainCommand& command, const torch::Device& device, const World& world,
             std::optional<TrainingRun>& run) {
  const RunConfig config = read_run_config(command);
  set_numerics(config);
  if (!command.dry_run) check_out(command);
  run.emplace(config, device, world);
  if (command.resume && !command.dry_run) resume_run(command, *run);
}

void open_folder(const TrainCommand& command, const TrainingRun& run) {
  fs::create_directories(command.out);
  if (command.common.force && !command.resume) clear_old_run(command.out);
  write_file_atomically(fs::path(command.out) / kConfigName, to_yaml(run.config()));
  std::cout << run.summary() << '\n';
}

void say_outcome(const TrainCommand& command, TrainOutcome outcome, int64_t steps) {
  if (outcome == TrainOutcome::interrupted) {
    std::cout << "stopped after step " << steps << " and saved; go on with: " << command.program << " --out "
              << command.out << " --resume\n";
  } else {
    std::cout << "finished " << steps << " steps: " << command.out << '\n';
  }
}

}  // namespace

int run_train_command(const TrainCommand& command) {
  const Ranks ranks = join_ranks(command.common);
  const World& world = ranks.world;
  std::optional<TrainingRun> run;
  world.together([&] { prepare(command, ranks.device, world, run); });
  world.set_timeout(run->config().train.distributed_timeout);
  if (command.dry_run) return dry_run(*run);
  if (world.is_first()) open_folder(command, *run);
  const TrainOutcome outcome =
      train(run->trainer(), run->config().train, run->dataset(), run->config().data, command.out);
  if (world.is_first()) say_outcome(command, outcome, run->trainer().steps_done());
  return 0;
}

int train_main(int argc, const char* const* argv, const std::string& program, const std::string& description,
               const std::vector<ObjectiveKind>& objectives) {
  CLI::App app(description, program);
  TrainCommand command;
  command.program = program;
  command.objectives = objectives;
  bool help_config = false;
  app.add_option("--config", command.config, "YAML file with the run's configuration (see configs/)");
  app.add_option("--out", command.out,
                 "folder of the run: config, metrics, samples and checkpoints go there");
  app.add_option("overrides", command.overrides,
                 "settings over the file's: train.steps=1000 model.channels=64 …");
  app.add_flag("--resume", command.resume, "continue the run in --out from its newest checkpoint");
  app.add_flag("--dry-run", command.dry_run, "check everything, print sizes, run one step, write nothing");
  app.add_flag("--help-config", help_config,
               "list every key of the configuration, with type, range and default");
  add_common_options(app, command.common);
  return run_command(app, argc, argv, [&] {
    if (help_config) {
      std::cout << describe_fields<RunConfig>();
      return 0;
    }
    if (command.out.empty() && !command.dry_run) throw InputError("--out is needed: the folder of the run");
    return run_train_command(command);
  });
}

}  // namespace cm
