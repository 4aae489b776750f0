#include "cm/cli/info_command.h"

#include <filesystem>
#include <iostream>
#include <optional>

#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/training/checkpoint.h"
#include "cm/training/model.h"
#include "cm/training/run_files.h"
#include "cm/training/weight_choice.h"
#include "cm/yaml/writer.h"
#include "run_state.h"
#include "watch.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCurveWidth = 60;

Json tensors_of(const SafetensorsHeader& header) {
  Json tensors = Json::object();
  for (const auto& [name, info] : header.tensors)
    tensors[name] = {{"dtype", info.dtype}, {"shape", info.shape}};
  return tensors;
}

// Of a checkpoint; both kinds, where it has them.
std::string averages_line(const Json& info) {
  std::vector<std::string> kinds;
  if (!info["ema_rates"].empty()) {
    kinds.push_back(
        concat(json_text(info["ema_rates"]), ", whose start weighs ", json_text(info["start_shares"])));
  }
  if (!info["ema_stds"].empty()) kinds.push_back(concat("of σ_rel ", json_text(info["ema_stds"])));
  return concat("averages    ", kinds.empty() ? "none" : join(kinds, "; "), '\n');
}

void print_model(const Json& info, const ModelOptions& options) {
  std::cout << "weights     " << info["weights"].get<std::string>() << "\n            "
            << info["why"].get<std::string>() << "\nparameters  " << info["parameters"] << " ("
            << human_count(info["parameters"].get<double>()) << ")\n";
  if (info.contains("step")) std::cout << "step        " << info["step"] << '\n' << averages_line(info);
  if (options.distilled_steps)
    std::cout << "sampled in  " << *options.distilled_steps << " Euler steps (progressive distillation)\n";
  std::cout << to_yaml(options);
  if (!info.contains("tensors")) return;
  std::cout << "tensors:\n";
  for (const auto& [name, tensor] : info["tensors"].items()) {
    std::cout << "  " << name << ": " << tensor["dtype"].get<std::string>() << ' '
              << json_text(tensor["shape"]) << '\n';
  }
}

// Adds to `info` what the weights are that sampling would take, and returns their model.
ModelOptions add_weights(const InfoCommand& command, Json& info) {
  const ResolvedWeights resolved = resolve_weights(command.path);
  const fs::path& file = resolved.file;
  const WeightFile weights = read_weight_header(file);
  const ModelOptions& options = weights.options;
  const auto network = make_network(options.network, options.image);
  check_weights(weights.weights, *network, file.string());
  info["weights"] = file.string();
  info["why"] = resolved.why;
  info["parameters"] = parameter_count(*network);
  info["model"] = json_of(options);
  if (const auto summary = checkpoint_summary(file.parent_path())) {
    info["step"] = summary->step;
    for (const char* key : {"ema_rates", "start_shares", "ema_stds"}) info[key] = Json::array();
    for (const AverageState& average : summary->averages) {
      if (average.power_std) {
        info["ema_stds"].push_back(*average.power_std);
        continue;
      }
      info["ema_rates"].push_back(average.rate);
      info["start_shares"].push_back(average.start_share);
    }
  }
  if (command.tensors) info["tensors"] = tensors_of(read_safetensors_header(file));
  return options;
}

struct RunFacts {
  RunState state;
  DiskUse disk;
};

RunFacts facts_of(const fs::path& run) {
  MetricsFile metrics(run / kRunMetrics);
  metrics.refresh();
  return {run_state(run, metrics), disk_use(run)};
}

void print_run(const RunFacts& run) {
  for (const auto& line : lines_of(run.state, kCurveWidth)) std::cout << line << '\n';
  const auto size = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  std::cout << "disk        checkpoints " << size(run.disk.checkpoints);
  if (!run.state.snapshots.empty()) std::cout << ", snapshots " << size(run.disk.averages);
  std::cout << ", samples " << size(run.disk.samples) << ", logs " << size(run.disk.logs) << '\n';
}

}  // namespace

int run_info_command(const InfoCommand& command) {
  if (command.watch) return watch_run(command.path);
  std::optional<RunFacts> run;
  if (is_run(command.path)) run = facts_of(command.path);
  Json info = Json::object();
  std::optional<ModelOptions> model;
  if (!run || run->state.checkpoint) model = add_weights(command, info);
  if (run) info["run"] = json_of(run->state, run->disk);
  if (command.json) {
    std::cout << json_text(info, 2) << '\n';
    return 0;
  }
  if (run) print_run(*run);
  if (model) print_model(info, *model);
  return 0;
}

}  // namespace cm
