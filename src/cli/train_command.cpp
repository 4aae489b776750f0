#include "cm/cli/train_command.h"

#include <ATen/Context.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <optional>
#include <span>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/kernels/paths.h"
#include "cm/run/training_run.h"
#include "cm/training/checkpoint.h"
#include "cm/training/run_files.h"
#include "cm/training/train_loop.h"
#include "cm/yaml/reader.h"
#include "cm/yaml/writer.h"
#include "ranks.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr std::array kRunFolders = {kRunCheckpoints, kRunAverages, kRunSamples, kRunEvents, "tracking"};

bool holds_run(const fs::path& out) {
  return !out.empty() && fs::exists(out / kRunConfig);
}

RunConfig read_run_config(const TrainCommand& command, bool resume) {
  const bool own = resume && !command.config;
  if (!own && !command.config)
    throw InputError("--config is needed (only a run that is resumed can do without: it has its own)");
  std::vector<std::string> overrides = command.overrides;
  if (command.common.seed) overrides.push_back(concat("train.seed=", *command.common.seed));
  const auto config = read_config<RunConfig>(
      load_yaml(own ? (fs::path(command.out) / kRunConfig).string() : *command.config), overrides);
  const std::string trained_by(name_of(config.objective).executable);
  if (trained_by != command.program) {
    std::vector<std::string> names;
    for (const MethodName& name : kMethodNames) {
      if (name.executable == command.program) names.emplace_back(name.objective);
    }
    throw InputError(concat("objective is ", to_string(config.objective), ", which ", command.program,
                            " does not train (it trains {", join(names), "}); see ", trained_by));
  }
  return config;
}

// Refuses to write over another run, into a folder that is something else, and to resume what is not there.
void check_out(const TrainCommand& command, bool resume) {
  const fs::path out = command.out;
  if (fs::exists(out) && !fs::is_directory(out)) {
    throw InputError(concat("--out ", command.out, ": is a file; name a folder"));
  }
  if (resume && !holds_run(out)) {
    throw InputError(concat("--resume: ", command.out,
                            " holds no run; start one without --resume, or by --resume auto in any case"));
  }
  if (resume || !fs::exists(out) || holds_nothing(out)) return;
  if (!holds_run(out)) {
    throw InputError(concat("--out ", command.out, ": is not empty and holds no run; name another folder"));
  }
  if (!command.common.force) {
    throw InputError(
        concat("--out ", command.out,
               ": holds a run already; --resume continues it, --force starts over and deletes it"));
  }
}

// The config stays until there is another: a folder without one is taken for no run. tracking/ is the last:
// what follows the run (scripts/track.py) takes all that is there for the next one's from then on.
void clear_old_run(const fs::path& out) {
  fs::remove(out / kRunMetrics);
  for (const char* name : kRunFolders) remove_folder_atomically(out / name);
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
  report_changes(fs::path(command.out) / kRunConfig, to_yaml(run.config()));
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
  StepResult result;
  const KernelCalls calls = kernel_calls_during([&] { result = run.trainer().step(loader.next()); });
  if (!world.is_first()) return 0;
  std::cout << "one step    loss " << result.loss.item<double>() << ", gradient norm "
            << result.gradient_norm.item<double>() << ", peak memory of the process "
            << human_bytes(peak_resident_bytes()) << "\nkernels     "
            << join(lines_of(calls), "\n            ") << '\n';
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
void prepare(const TrainCommand& command, bool resume, const torch::Device& device, const World& world,
             std::optional<TrainingRun>& run) {
  if (!command.dry_run) check_out(command, resume);
  const RunConfig config = read_run_config(command, resume);
  set_numerics(config);
  run.emplace(config, device, world);
}

// The folder is made, this run's alone until its end, and read on all ranks.
void open_folder(const TrainCommand& command, bool resume, const World& world, TrainingRun& run,
                 std::optional<FolderLock>& lock) {
  if (world.is_first()) {
    fs::create_directories(command.out);
    lock.emplace(command.out);
  }
  if (resume) resume_run(command, run);
}

// What rank 0 sees in the folder counts: the others may look at a network's disk that tells them later.
bool is_resumed(const TrainCommand& command, const World& world) {
  if (command.resume != Resume::if_there) return command.resume == Resume::yes;
  const Tensor found = torch::full({1}, holds_run(command.out), torch::kInt64);
  world.broadcast({found});
  return found.item<int64_t>() != 0;
}

void begin(const TrainCommand& command, bool resume, const TrainingRun& run) {
  const fs::path out = command.out;
  for (const fs::path& folder : {out, out / kRunCheckpoints, out / kRunAverages, out / kRunSamples})
    remove_unfinished(folder);
  if (command.common.force && !resume) clear_old_run(out);
  write_file_atomically(out / kRunConfig, to_yaml(run.config()));
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
  const bool resume = is_resumed(command, world);
  std::optional<TrainingRun> run;
  world.together([&] { prepare(command, resume, ranks.device, world, run); });
  world.set_timeout(run->config().train.distributed_timeout);
  if (command.dry_run) return dry_run(*run);
  std::optional<FolderLock> lock;
  world.together([&] { open_folder(command, resume, world, *run, lock); });
  if (world.is_first()) begin(command, resume, *run);
  const TrainOutcome outcome = train(run->trainer(), run->config().train, run->dataset(), run->config().data,
                                     command.out, run->codec());
  if (world.is_first()) say_outcome(command, outcome, run->trainer().steps_done());
  return 0;
}

namespace {

// Of `--resume` and `--resume auto` CLI11 reads the latter by '=' alone: what follows the option may be the
// first override as well.
std::vector<const char*> with_joined_resume(int argc, const char* const* argv) {
  std::vector<const char*> arguments;
  for (const std::string_view argument : std::span(argv, static_cast<size_t>(argc))) {
    const bool joins =
        argument == "auto" && !arguments.empty() && arguments.back() == std::string_view("--resume");
    if (joins) {
      arguments.back() = "--resume=auto";
    } else {
      arguments.push_back(argument.data());
    }
  }
  return arguments;
}

// [{"objective", "executable", "needs_teacher", "needs_init", "keeps_start", "takes_pairs", "has_stages",
// "makes_denoiser", "makes_flow_map", "group", "parameterizations"}, …] of all methods, by their defaults.
Json methods_record() {
  Json record = Json::array();
  for (const auto& [kind, objective] : EnumNames<ObjectiveKind>::names) {
    const Method method = method_by_default(kind);
    Json parameterizations = Json::array();
    for (const Parameterization one : method.parameterizations) parameterizations.push_back(to_string(one));
    record.push_back({{"objective", objective},
                      {"executable", name_of(kind).executable},
                      {"needs_teacher", method.needs_teacher},
                      {"needs_init", method.needs_init},
                      {"keeps_start", method.keeps_start},
                      {"takes_pairs", method.takes_pairs},
                      {"has_stages", method.has_stages},
                      {"makes_denoiser", is_diffusion(method.parameterizations.front())},
                      {"makes_flow_map", is_flow_map(method.parameterizations.front())},
                      {"group", method.group},
                      {"parameterizations", parameterizations}});
  }
  return record;
}

Resume resume_of(const std::string& word) {
  if (word.empty()) return Resume::no;
  if (word == "true") return Resume::yes;  // CLI11's word for a flag alone
  if (word == "auto") return Resume::if_there;
  throw InputError(concat("--resume stands alone or before auto, got '", word, "'"));
}

}  // namespace

int train_main(int argc, const char* const* argv, const std::string& program,
               const std::string& description) {
  CLI::App app(description, program);
  TrainCommand command;
  command.program = program;
  bool help_config = false;
  bool list_methods = false;
  app.add_option("--config", command.config, "YAML file with the run's configuration (see configs/)")
      ->type_name("FILE");
  app.add_option("--out", command.out, "folder of the run: config, metrics, samples and checkpoints go there")
      ->type_name("FOLDER");
  app.add_option("overrides", command.overrides,
                 "settings over the file's: train.steps=1000 model.channels=64 …")
      ->type_name("KEY=VALUE");
  std::string resume;
  app.add_flag("--resume", resume,
               "continue the run in --out from its newest checkpoint; --resume auto starts it where there is "
               "none, for jobs that are started again");
  app.add_flag("--dry-run", command.dry_run, "check everything, print sizes, run one step, write nothing");
  app.add_flag("--help-config", help_config,
               "list every key of the configuration, with type, range and default");
  app.add_flag("--list-methods", list_methods,
               "list every method with its executable and what it needs, as JSON");
  add_common_options(app, command.common);
  const std::vector<const char*> arguments = with_joined_resume(argc, argv);
  return run_command(app, static_cast<int>(arguments.size()), arguments.data(), [&] {
    if (help_config) {
      std::cout << describe_fields<RunConfig>();
      return 0;
    }
    if (list_methods) {
      std::cout << json_text(methods_record(), 2) << '\n';
      return 0;
    }
    command.resume = resume_of(resume);
    if (command.out.empty() && !command.dry_run) throw InputError("--out is needed: the folder of the run");
    return run_train_command(command);
  });
}

}  // namespace cm
