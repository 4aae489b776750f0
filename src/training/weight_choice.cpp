#include "cm/training/weight_choice.h"

#include <algorithm>

#include "checkpoint_layout.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/training/checkpoint.h"
#include "cm/training/diffusers_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

std::string in_words(const AverageState& average) {
  return average.power_std ? concat("the average of σ_rel ", shortest(*average.power_std))
                           : concat("the average of rate ", shortest(average.rate));
}

ResolvedWeights with_rate(const fs::path& checkpoint, double rate,
                          const std::vector<AverageState>& averages) {
  if (rate == 0) return {checkpoint / kModel, "the trained weights, as asked for"};
  std::vector<std::string> names;
  for (const AverageState& average : averages) {
    if (average.power_std) continue;
    if (average.rate == rate) {
      return {checkpoint / average_name(average),
              concat(in_words(average), ", as asked for; its start weighs ", percent(average.start_share))};
    }
    names.push_back(shortest(average.rate));
  }
  throw InputError(concat(checkpoint.string(), ": has no evaluation average of rate ", shortest(rate),
                          "; it has {", join(names), "}, and 0 means the trained weights"));
}

ResolvedWeights settled(const fs::path& checkpoint, const std::vector<AverageState>& averages) {
  if (averages.empty()) return {checkpoint / kModel, "the trained weights; there are no averages"};
  if (const auto index = settled_average(averages)) {
    const AverageState& average = averages[*index];
    const std::string reason = average.power_std ? ", the widest"
                                                 : concat(", the largest whose start weighs at most 1 % (",
                                                          percent(average.start_share), ")");
    return {checkpoint / average_name(average), in_words(average) + reason};
  }
  const auto& least = *std::ranges::min_element(averages, {}, &AverageState::start_share);
  return {checkpoint / kModel,
          concat("the trained weights; no average has forgotten its start, which weighs ",
                 percent(least.start_share), " in that of rate ", shortest(least.rate))};
}

// The folder that holds a checkpoint, or the run that holds that.
fs::path run_of(const fs::path& checkpoint) {
  const fs::path above = checkpoint.parent_path();
  const fs::path run = above.filename() == kRunCheckpoints ? above.parent_path() : above;
  return run.empty() ? fs::path(".") : run;
}

ResolvedWeights made_of_snapshots(const fs::path& run, double std, std::optional<int64_t> step) {
  const PowerAverage made = power_average(run, std, step);
  return {run / kRunAverages,
          concat("the average of σ_rel ", shortest(std), " after step ", made.step, ", made of ",
                 made.snapshots.size(), " snapshots to ", percent(made.error)),
          made};
}

// `named`: the checkpoint itself, and not its run.
ResolvedWeights chosen(const fs::path& checkpoint, bool named, const WeightChoice& choice) {
  const CheckpointSummary summary = *checkpoint_summary(checkpoint);
  if (choice.ema) return with_rate(checkpoint, *choice.ema, summary.averages);
  if (!choice.ema_std) return settled(checkpoint, summary.averages);
  const auto tracked = std::ranges::find(summary.averages, choice.ema_std, &AverageState::power_std);
  if (tracked != summary.averages.end())
    return {checkpoint / average_name(*tracked), in_words(*tracked) + ", as it was tracked"};
  return made_of_snapshots(run_of(checkpoint), *choice.ema_std,
                           named ? std::optional(summary.step) : std::nullopt);
}

}  // namespace

ResolvedWeights resolve_weights(const fs::path& source, const WeightChoice& choice) {
  if (!fs::exists(source)) throw InputError(concat(source.string(), ": no such file or folder"));
  if (choice.ema && choice.ema_std) {
    throw InputError(concat(source.string(), ": of its averages, that of rate ", shortest(*choice.ema),
                            " and that of σ_rel ", shortest(*choice.ema_std), " are chosen; choose one"));
  }
  const bool chooses = choice.ema || choice.ema_std;
  if (!fs::is_directory(source)) {
    if (chooses)
      throw InputError(
          concat(source.string(), ": is one weight file; an average can be chosen in a run only"));
    return {source, "the file itself"};
  }
  if (fs::exists(source / kState)) return chosen(source, /*named=*/true, choice);
  if (const auto checkpoint = latest_checkpoint(source)) return chosen(*checkpoint, /*named=*/false, choice);
  if (const auto weights = diffusers_weights(source)) {
    if (chooses)
      throw InputError(concat(source.string(), ": is a diffusers folder, which holds no averages"));
    return {*weights, "the network of a diffusers folder"};
  }
  throw InputError(concat(source.string(), ": neither a run with a checkpoint, nor a checkpoint folder (",
                          kState, "), nor a diffusers folder (unet/config.json or transformer/config.json)"));
}

WeightFile load_weight_file(const ResolvedWeights& weights) {
  return weights.made ? made_weights(*weights.made) : load_weight_file(weights.file);
}

WeightFile read_weight_header(const ResolvedWeights& weights) {
  return read_weight_header(weights.made ? weights.made->snapshots.back().file : weights.file);
}

std::optional<WeightOrigin> origin_of(const ResolvedWeights& weights) {
  if (weights.made) {
    return WeightOrigin{.run = weights.made->run,
                        .step = weights.made->step,
                        .average = {.ema_std = weights.made->state.power_std}};
  }
  const fs::path checkpoint = weights.file.parent_path();
  const auto step = checkpoint_step(checkpoint);
  if (!step) return std::nullopt;
  WeightOrigin origin{.run = run_of(checkpoint), .step = *step};
  if (const auto average = average_named(weights.file)) {
    if (average->power_std) {
      origin.average.ema_std = average->power_std;
    } else {
      origin.average.ema = average->rate;
    }
  }
  return origin;
}

}  // namespace cm
