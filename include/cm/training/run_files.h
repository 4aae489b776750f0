// What lies in the folder of a training run.
#pragma once

namespace cm {

inline constexpr const char* kRunConfig = "config.yaml";  // resolved
inline constexpr const char* kRunMetrics = "metrics.jsonl";
inline constexpr const char* kRunEvents = "tensorboard";
inline constexpr const char* kRunSamples = "samples";
inline constexpr const char* kRunCheckpoints = "checkpoints";
inline constexpr const char* kRunAverages = "averages";  // snapshots (power_snapshots.h)

}  // namespace cm
