#include "cm/training/power_snapshots.h"

#include <algorithm>
#include <set>

#include "checkpoint_layout.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "power_average.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// Updates since the snapshot's stage began.
int64_t updates_of(const Snapshot& snapshot) {
  const auto state = average_in(read_safetensors_header(snapshot.file).metadata, snapshot.file.string());
  if (!state || state->power_std != snapshot.std || state->updates < 1 || state->updates > snapshot.step) {
    throw InputError(concat(snapshot.file.string(),
                            ": does not say that it is the average that its name says; remove it, and the ",
                            "others make up for it"));
  }
  return state->updates;
}

}  // namespace

std::vector<Snapshot> snapshots_of(const fs::path& run) {
  std::vector<Snapshot> snapshots;
  if (!fs::is_directory(run / kRunAverages)) return snapshots;
  for (const auto& entry : fs::directory_iterator(run / kRunAverages)) {
    if (const auto named = snapshot_in(entry.path())) {
      snapshots.push_back({entry.path(), named->first, named->second});
    }
  }
  std::ranges::sort(snapshots, {}, [](const Snapshot& one) { return std::pair(one.step, one.std); });
  return snapshots;
}

std::string words_for(const std::vector<Snapshot>& snapshots) {
  std::set<double> stds;
  for (const Snapshot& one : snapshots) stds.insert(one.std);
  std::vector<std::string> names;
  for (const double std : stds) names.push_back(shortest(std));
  return concat(snapshots.size(), " of σ_rel {", join(names), "} at steps ", snapshots.front().step, " to ",
                snapshots.back().step);
}

void remove_snapshots_after(const fs::path& run, int64_t step) {
  for (const Snapshot& one : snapshots_of(run)) {
    if (one.step > step) fs::remove(one.file);
  }
}

PowerAverage power_average(const fs::path& run, double std, std::optional<int64_t> step) {
  if (!(std > 0 && std < kLargestPowerStd)) {
    throw InputError(concat("σ_rel of an average must lie between 0 and ", significant(kLargestPowerStd, 3),
                            ", got ", shortest(std)));
  }
  const std::vector<Snapshot> all = snapshots_of(run);
  if (all.empty()) {
    throw InputError(concat(run.string(), ": keeps no snapshots of averages; train with ",
                            "ema.power_stds=[0.05,0.1], or choose one of its averages by its rate"));
  }
  const int64_t at = step.value_or(all.back().step);
  if (at < all.front().step || at > all.back().step) {
    throw InputError(concat(run.string(), ": no average after step ", at, " can be made of its snapshots, ",
                            words_for(all)));
  }
  const auto after = std::ranges::upper_bound(all, at, {}, &Snapshot::step);
  std::vector<Snapshot> used;
  std::vector<PowerProfile> profiles;
  const int64_t start = (after - 1)->step - updates_of(*(after - 1));
  for (auto one = all.begin(); one != after; ++one) {
    const int64_t updates = updates_of(*one);
    if (one->step - updates != start) continue;  // of a stage before
    used.push_back(*one);
    profiles.push_back({one->std, updates});
  }
  const Combination made = combine(profiles, {std, at - start});
  if (made.error > kLargestProfileError) {
    throw InputError(concat(run.string(), ": its snapshots, ", words_for(used), ", make an average of σ_rel ",
                            shortest(std), " after step ", at, " only to ", percent(made.error), " (at most ",
                            percent(kLargestProfileError),
                            "); choose a σ_rel nearer to theirs, a step that has snapshots, or keep more "
                            "(ema.snapshot_every)"));
  }
  return {.run = run,
          .snapshots = used,
          .coefficients = made.coefficients,
          .state = {.rate = 0, .start_share = 0, .power_std = std, .updates = at - start},
          .step = at,
          .error = made.error};
}

WeightFile made_weights(const PowerAverage& average) {
  WeightFile sum;
  for (size_t i = 0; i < average.snapshots.size(); ++i) {
    const fs::path& path = average.snapshots[i].file;
    WeightFile file = load_weight_file(path);
    for (auto& [name, tensor] : file.weights) {
      const Tensor part = tensor.to(torch::kFloat64) * average.coefficients[i];
      const auto [place, is_first] = sum.weights.try_emplace(name, part);
      if (is_first && i == 0) continue;
      if (is_first || place->second.sizes() != part.sizes()) {
        throw InputError(concat(path.string(), ": ", name, " is not as in ",
                                average.snapshots.front().file.string(), ": they are of different networks"));
      }
      place->second += part;
    }
    sum.options = std::move(file.options);
  }
  for (auto& [name, tensor] : sum.weights) tensor = tensor.to(torch::kFloat32);
  return sum;
}

}  // namespace cm
