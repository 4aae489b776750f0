// Snapshots of a run's power-function averages, and any other average that they make:
//
//   RUN/averages/step-00001000-std-0.05.safetensors
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cm/training/weight_file.h"

namespace cm {

struct Snapshot {
  std::filesystem::path file;
  int64_t step = 0;
  double std = 0;  // σ_rel
};

// Of a run, by step, then σ_rel; none where it keeps none.
std::vector<Snapshot> snapshots_of(const std::filesystem::path& run);

// "16 of σ_rel {0.05, 0.1} at steps 8 to 64"; there is at least one.
std::string words_for(const std::vector<Snapshot>& snapshots);

// Removes the snapshots of later steps, which belong to a training that is not gone on with.
void remove_snapshots_after(const std::filesystem::path& run, int64_t step);

// A combination whose profile is further than this share from the wanted one is another average. With eight
// snapshots of σ_rel 0.05 and 0.10 each, evenly spaced, it lets 0.04 … 0.2 be made after the last of them.
inline constexpr double kLargestProfileError = 0.1;

// A linear combination of snapshots.
struct PowerAverage {
  std::filesystem::path run;
  std::vector<Snapshot> snapshots;
  std::vector<double> coefficients;  // one a snapshot; their sum is 1
  AverageState state;                // its σ_rel, and the updates that it is of
  int64_t step = 0;                  // of the run
  double error = 0;                  // of its profile (src/training/power_average.h)
};

// The average of width `std` after `step` (default: of the last snapshot), made of the snapshots of the same
// stage up to then. InputError, with what there is, where the run has none, `std` is not in
// (0, kLargestPowerStd), `step` lies outside of them, one is broken, or the error is above
// kLargestProfileError. Reads no weights.
PowerAverage power_average(const std::filesystem::path& run, double std,
                           std::optional<int64_t> step = std::nullopt);

// Its weights, in fp32, summed in double over files that are in memory one at a time. InputError when one is
// broken or of another network.
WeightFile made_weights(const PowerAverage& average);

}  // namespace cm
