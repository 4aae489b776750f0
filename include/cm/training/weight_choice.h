// Which weights are taken of a run, a checkpoint or a file, and where in training these were.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cm/base/fields.h"
#include "cm/training/power_snapshots.h"

namespace cm {

// At most one of both; none: the average of settled_average, or the trained weights where there is none.
struct WeightChoice {
  std::optional<double> ema = std::nullopt;      // the rate of an evaluation average; 0: the trained weights
  std::optional<double> ema_std = std::nullopt;  // σ_rel of an average by a power function
};

template <class Visitor>
void fields(Visitor& visit, WeightChoice& o) {
  visit("ema", o.ema, "which evaluation average of it; 0: the trained weights; default: as sampling chooses",
        from_below(0, 1));
  visit("ema_std", o.ema_std, "or σ_rel of an average by a power function (docs/evaluation.md)", kPowerStds);
}

// Weights, and in words which these are and why they were taken.
struct ResolvedWeights {
  std::filesystem::path file;  // of `made`, the folder of the snapshots
  std::string why;
  std::optional<PowerAverage> made = std::nullopt;  // where no file has them
};

// The weights that `source` means: those of a weight file itself, of a diffusers folder, or `choice` of a
// checkpoint folder or of a run's latest checkpoint. An average by a power function that the checkpoint has
// not is made of the run's snapshots, after the checkpoint's step where one is named, else after the last
// snapshot. InputError when nothing fits, with what there is.
ResolvedWeights resolve_weights(const std::filesystem::path& source, const WeightChoice& choice = {});

// As of a path (cm/training/weight_file.h).
WeightFile load_weight_file(const ResolvedWeights& weights);
WeightFile read_weight_header(const ResolvedWeights& weights);

// Where in training weights were saved.
struct WeightOrigin {
  std::filesystem::path run;  // the folder that holds the checkpoint, or the run that holds that
  int64_t step = 0;
  WeightChoice average = {};  // what it is the average of; neither for other weights
};

// nullopt for a weight file that lies in no checkpoint.
std::optional<WeightOrigin> origin_of(const ResolvedWeights& weights);

}  // namespace cm
