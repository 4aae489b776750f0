#include "run_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "cm/base/error.h"
#include "cm/base/rate.h"
#include "cm/base/text.h"
#include "cm/training/checkpoint.h"
#include "cm/training/run_files.h"
#include "cm/yaml/parser.h"
#include "cm/yaml/scalar.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCurvePoints = 60;
constexpr double kLinesOverdue = 10;    // a run is silent after so many times the seconds between two lines,
constexpr double kSecondsOverdue = 60;  // and not before

// train.KEY of the run's resolved config. A config of another version is not judged here.
std::optional<int64_t> train_setting(const YamlNode& config, const char* key) {
  const YamlEntry* train = config.find("train");
  const YamlEntry* entry = train != nullptr ? train->value.find(key) : nullptr;
  return entry != nullptr ? parse_integer(entry->value.word()) : std::nullopt;
}

YamlNode config_of(const fs::path& run) {
  try {
    return load_yaml(run / kRunConfig);
  } catch (const InputError&) {
    return {};
  }
}

double seconds_since_change(const fs::path& file) {
  std::error_code none;
  const auto changed = fs::last_write_time(file, none);
  if (none) return 0;
  return std::max(0.0, std::chrono::duration<double>(fs::file_time_type::clock::now() - changed).count());
}

// The time of training, as the lines' own speeds tell it, and the present speed by it.
void set_speed(RunState& state, const std::vector<MetricsLine>& lines, double batch_size) {
  Rate rate(0, 0);
  double now = 0;
  double interval = 0;  // seconds between the last two lines
  int64_t step = 0;
  for (const MetricsLine& line : lines) {
    if (!(line.images_per_second > 0)) continue;
    interval = static_cast<double>(line.step - step) * batch_size / line.images_per_second;
    now += interval;
    step = line.step;
    rate.update(step, now);
  }
  state.silent = !state.finished && state.silence > std::max(kSecondsOverdue, kLinesOverdue * interval);
  const double overdue = state.finished ? 0 : std::max(0.0, state.silence - interval);
  state.steps_per_second = rate.per_second(now + overdue);
  if (!state.steps) return;
  const double left = rate.seconds_left(*state.steps, now + overdue);
  state.seconds_left = left > 0 ? std::max(0.0, left - std::min(state.silence, interval)) : left;
}

// Names of grids and checkpoints have the step in eight digits; longer ones come later.
std::optional<fs::path> newest_grid(const fs::path& run) {
  std::optional<fs::path> newest;
  std::error_code none;
  const auto order = [](const fs::path& path) {
    const std::string name = path.filename().string();
    return std::pair(name.size(), name);
  };
  for (const auto& entry : fs::directory_iterator(run / kRunSamples, none)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-") || !name.ends_with(".png")) continue;
    if (!newest || order(*newest) < order(entry.path())) newest = entry.path();
  }
  return newest;
}

int64_t bytes_under(const fs::path& path) {
  std::error_code none;
  if (fs::is_regular_file(path, none)) return static_cast<int64_t>(fs::file_size(path, none));
  int64_t bytes = 0;
  for (auto entry = fs::recursive_directory_iterator(path, none); !none && entry != end(entry);
       entry.increment(none)) {
    std::error_code gone;  // a run removes its old checkpoints
    if (entry->is_regular_file(gone) && !entry->is_symlink(gone)) {
      const auto size = entry->file_size(gone);
      if (!gone) bytes += static_cast<int64_t>(size);
    }
  }
  return bytes;
}

std::string progress_words(const RunState& state) {
  const std::string step = concat(state.last ? state.last->step : 0);
  if (state.finished) return concat("finished ", *state.steps, " steps");
  std::string words = concat("step ", step);
  if (state.steps) words += concat(" of ", *state.steps);
  if (state.steps_per_second > 0) {
    words += concat(", ", human_count(state.steps_per_second), " steps/s, ETA ",
                    human_duration(state.seconds_left));
  }
  if (state.silent) words += concat(", no news for ", human_duration(state.silence));
  return words;
}

}  // namespace

bool is_run(const fs::path& folder) {
  return fs::exists(folder / kRunConfig) || fs::exists(folder / kRunMetrics);
}

RunState run_state(const fs::path& folder, const MetricsFile& metrics) {
  RunState state;
  state.folder = folder;
  const YamlNode config = config_of(folder);
  state.steps = train_setting(config, "steps");
  state.checkpoint = latest_checkpoint(folder);
  if (state.checkpoint && state.steps) {
    const auto summary = checkpoint_summary(*state.checkpoint);
    state.finished = summary && summary->step >= *state.steps;
  }
  state.samples = newest_grid(folder);
  state.snapshots = snapshots_of(folder);
  if (!metrics.lines().empty()) state.last = metrics.lines().back();
  for (const MetricsLine& line : metrics.lines()) state.losses.push_back({line.step, line.loss});
  state.silence = seconds_since_change(folder / kRunMetrics);
  set_speed(state, metrics.lines(), static_cast<double>(train_setting(config, "batch_size").value_or(1)));
  return state;
}

DiskUse disk_use(const fs::path& run) {
  return {.checkpoints = bytes_under(run / kRunCheckpoints),
          .averages = bytes_under(run / kRunAverages),
          .samples = bytes_under(run / kRunSamples),
          .logs = bytes_under(run / kRunMetrics) + bytes_under(run / kRunEvents)};
}

std::vector<std::string> lines_of(const RunState& state, size_t width) {
  std::vector<std::string> lines = {concat("run         ", state.folder.string()),
                                    concat("progress    ", progress_words(state))};
  const Sparkline curve = sparkline(state.losses, width);
  if (!curve.text.empty()) {
    lines.push_back(concat("loss        ", curve.text));
    lines.push_back(concat("            ", significant(state.last->loss, 4), " now; from ",
                           significant(curve.lowest, 4), " to ", significant(curve.highest, 4),
                           curve.log_scale ? ", log scale" : ""));
  }
  const auto path_or_none = [](const auto& path) { return path ? path->string() : "none yet"; };
  lines.push_back(concat("samples     ", path_or_none(state.samples)));
  lines.push_back(concat("checkpoint  ", path_or_none(state.checkpoint)));
  if (!state.snapshots.empty()) lines.push_back(concat("snapshots   ", words_for(state.snapshots)));
  return lines;
}

std::string one_line_of(const RunState& state) {
  return concat(progress_words(state), state.last ? concat(", loss ", significant(state.last->loss, 4)) : "");
}

Json json_of(const RunState& state, const DiskUse& disk) {
  Json snapshots = Json::array();
  for (const Snapshot& one : state.snapshots) snapshots.push_back({{"step", one.step}, {"std", one.std}});
  const auto path_or_null = [](const auto& path) { return path ? Json(path->string()) : Json(nullptr); };
  const auto if_known = [](double value, bool known) { return known ? Json(value) : Json(nullptr); };
  return {{"folder", state.folder.string()},
          {"finished", state.finished},
          {"step", state.last ? state.last->step : 0},
          {"steps", state.steps ? Json(*state.steps) : Json(nullptr)},
          {"loss", state.last ? Json(state.last->loss) : Json(nullptr)},
          {"steps_per_second", if_known(state.steps_per_second, state.steps_per_second > 0)},
          {"seconds_left", if_known(state.seconds_left, state.seconds_left >= 0)},
          {"seconds_of_silence", state.silence},
          {"loss_curve", resampled(state.losses, kCurvePoints)},
          {"samples", path_or_null(state.samples)},
          {"checkpoint", path_or_null(state.checkpoint)},
          {"snapshots", snapshots},
          {"disk",
           {{"checkpoints", disk.checkpoints},
            {"averages", disk.averages},
            {"samples", disk.samples},
            {"logs", disk.logs}}}};
}

}  // namespace cm
