// How far a training run is, read from its folder alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cm/io/json.h"
#include "cm/training/power_snapshots.h"
#include "metrics_file.h"
#include "sparkline.h"

namespace cm {

// Bytes of a run's files.
struct DiskUse {
  int64_t checkpoints = 0;
  int64_t averages = 0;  // snapshots of them
  int64_t samples = 0;
  int64_t logs = 0;  // metrics.jsonl and tensorboard/
};

struct RunState {
  std::filesystem::path folder;
  std::optional<int64_t> steps;     // what it is to do
  std::optional<MetricsLine> last;  // what it said last
  double steps_per_second = 0;      // of the last minute of training; 0: not known
  double seconds_left = -1;         // −1: not known
  double silence = 0;               // seconds since it said something
  bool finished = false;            // the checkpoint of the last step is there
  bool silent = false;              // it says nothing although the next line is overdue
  std::optional<std::filesystem::path> checkpoint;
  std::optional<std::filesystem::path> samples;  // the newest grid
  std::vector<Snapshot> snapshots;
  std::vector<CurvePoint> losses;
};

// Whether a folder is that of a training run.
bool is_run(const std::filesystem::path& folder);

// The state of the run whose metrics these are, as they were read last.
RunState run_state(const std::filesystem::path& folder, const MetricsFile& metrics);

DiskUse disk_use(const std::filesystem::path& run);

// For people: a line a fact, with a loss curve of at most `width` characters.
std::vector<std::string> lines_of(const RunState& state, size_t width);

// The same in one line, without paths.
std::string one_line_of(const RunState& state);

// The state's facts, the loss as a curve of at most 60 points.
Json json_of(const RunState& state, const DiskUse& disk);

}  // namespace cm
