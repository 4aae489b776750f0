#include "cm/training/checkpoint.h"

#include <algorithm>
#include <cmath>

#include "checkpoint_layout.h"
#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/io/safetensors.h"
#include "cm/training/diffusers_folder.h"
#include "cm/training/weight_file.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// Copies what named_like stored back into `values`.
void restore_named(const std::vector<std::string>& names, const fs::path& path, const NamedTensors& stored,
                   const std::string& prefix, const std::vector<Tensor>& values) {
  const torch::NoGradGuard guard;
  for (const auto& [name, tensor] : named_like(names, values, prefix)) {
    const auto found = stored.find(name);
    if (found == stored.end() || found->second.sizes() != tensor.sizes()) {
      throw InputError(concat(path.string(), ": ", name,
                              " is missing or of another shape: the checkpoint belongs to another network; "
                              "resume with the configuration of that run"));
    }
    tensor.copy_(found->second);
  }
}

bool is_count(const Json& value) {
  return value.is_number_integer() && value.get<int64_t>() >= 0;
}

// What CheckpointWriter writes, or a part of it that has "step".
bool is_state(const Json& json) {
  if (!json.is_object() || !json.contains("step")) return false;
  for (const char* key : {"step", "steps_in_stage", "optimizer_updates", "skipped"}) {
    if (json.contains(key) && !is_count(json[key])) return false;
  }
  if (!json.contains("loss_scale")) return true;
  const Json& scale = json["loss_scale"];
  return scale.is_object() && (!scale.contains("clean_steps") || is_count(scale["clean_steps"])) &&
         (!scale.contains("value") || (scale["value"].is_number() && scale["value"] > 0));
}

Json read_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kState;
  const Json state = parse_json(read_file(path));
  if (!is_state(state)) {
    throw InputError(concat(path.string(), ": not the state of a checkpoint (a JSON object with \"step\")"));
  }
  return state;
}

// Since the averages were started; equal to "step" where training has no stages.
int64_t steps_in_stage(const Json& state) {
  return state.value("steps_in_stage", state["step"].get<int64_t>());
}

// Averages of files that do not tell had no warm-up.
double start_share(const Metadata& metadata, const fs::path& file, double rate, int64_t updates) {
  const auto average = average_in(metadata, file.string());
  return average ? average->start_share : std::pow(rate, static_cast<double>(updates));
}

// By their rates, ascending.
std::vector<AverageState> saved_averages(const fs::path& checkpoint, int64_t updates) {
  std::vector<AverageState> averages;
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    const auto rate = rate_of(entry.path());
    if (!rate) continue;
    const Metadata metadata = read_safetensors_header(entry.path()).metadata;
    averages.push_back({.rate = *rate, .start_share = start_share(metadata, entry.path(), *rate, updates)});
  }
  std::ranges::sort(averages, {}, &AverageState::rate);
  return averages;
}

// "0.02 %": to two digits.
std::string percent(double share) {
  return significant(100 * share, 2) + " %";
}

ResolvedWeights asked_for(const fs::path& checkpoint, double rate,
                          const std::vector<AverageState>& averages) {
  if (rate == 0) return {checkpoint / kModel, "the trained weights, as asked for"};
  const auto found = std::ranges::find(averages, rate, &AverageState::rate);
  if (found == averages.end()) {
    std::vector<std::string> names;
    for (const AverageState& average : averages) names.push_back(shortest(average.rate));
    throw InputError(concat(checkpoint.string(), ": has no evaluation average of rate ", shortest(rate),
                            "; it has {", join(names), "}, and 0 means the trained weights"));
  }
  return {checkpoint / ema_name(rate),
          concat("the average of rate ", shortest(rate), ", as asked for; its start weighs ",
                 percent(found->start_share))};
}

ResolvedWeights settled(const fs::path& checkpoint, const std::vector<AverageState>& averages) {
  if (averages.empty()) return {checkpoint / kModel, "the trained weights; there are no averages"};
  const auto rate = settled_rate(averages);
  if (!rate) {
    const auto& least = *std::ranges::min_element(averages, {}, &AverageState::start_share);
    return {checkpoint / kModel,
            concat("the trained weights; no average has forgotten its start, which weighs ",
                   percent(least.start_share), " in that of rate ", shortest(least.rate))};
  }
  const auto& average = *std::ranges::find(averages, *rate, &AverageState::rate);
  return {checkpoint / ema_name(*rate),
          concat("the average of rate ", shortest(*rate), ", the largest whose start weighs at most 1 % (",
                 percent(average.start_share), ")")};
}

ResolvedWeights chosen_weights(const fs::path& checkpoint, std::optional<double> ema) {
  const auto averages = saved_averages(checkpoint, steps_in_stage(read_state(checkpoint)));
  return ema ? asked_for(checkpoint, *ema, averages) : settled(checkpoint, averages);
}

}  // namespace

std::optional<fs::path> latest_checkpoint(const fs::path& run) {
  const fs::path checkpoints = run / kRunCheckpoints;
  if (fs::exists(checkpoints / kLatest / kState))
    return checkpoints / fs::read_symlink(checkpoints / kLatest);
  const std::vector<int64_t> steps = saved_steps(checkpoints);
  if (steps.empty()) return std::nullopt;
  return checkpoints / checkpoint_name(steps.back());
}

std::optional<CheckpointSummary> checkpoint_summary(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return std::nullopt;
  const Json state = read_state(folder);
  const int64_t updates = steps_in_stage(state);
  return CheckpointSummary{state["step"].get<int64_t>(), updates, saved_averages(folder, updates)};
}

std::optional<WeightOrigin> origin_of(const fs::path& weights) {
  const fs::path checkpoint = weights.parent_path();
  if (!fs::exists(checkpoint / kState)) return std::nullopt;
  const fs::path above = checkpoint.parent_path();
  const fs::path run = above.filename() == kRunCheckpoints ? above.parent_path() : above;
  return WeightOrigin{.run = run.empty() ? fs::path(".") : run,
                      .step = read_state(checkpoint)["step"].get<int64_t>(),
                      .ema = rate_of(weights)};
}

void load_checkpoint(const fs::path& checkpoint, Trainer& trainer) {
  const Json state = read_state(checkpoint);
  Model& student = trainer.student();
  load_weights(checkpoint / kModel, student);
  if (trainer.target() != nullptr) load_weights(checkpoint / kTarget, *trainer.target());
  if (Model* teacher = trainer.stage_teacher()) {
    Model loaded = load_model(checkpoint / kTeacher, student.device());
    if (teacher->guide()) loaded.guide_by(*teacher->guide());
    *teacher = std::move(loaded);
    teacher->compute_in(student.network().compute_type());
  }
  EmaSet& averages = trainer.averages();
  for (size_t i = 0; i < averages.states().size(); ++i) {
    const AverageState& average = averages.states()[i];
    const fs::path path = checkpoint / average_name(average);
    const SafetensorsFile file = load_safetensors(path);
    restore_named(parameter_names(student.network()), path, file.tensors, "", averages.average(i));
    const int64_t updates = steps_in_stage(state);
    averages.restore(i, start_share(file.metadata, path, average.rate, updates), updates);
  }
  if (trainer.learned() != nullptr) {
    const fs::path learned = checkpoint / kLearned;
    copy_weights(load_safetensors(learned).tensors, *trainer.learned(), learned.string());
  }
  const fs::path path = checkpoint / kOptimizer;
  const NamedTensors moments = load_safetensors(path).tensors;
  const auto names = trained_names(trainer);
  restore_named(names, path, moments, kFirstMoment, trainer.optimizer().first_moments());
  restore_named(names, path, moments, kSecondMoment, trainer.optimizer().second_moments());
  trainer.optimizer().set_updates(state.value("optimizer_updates", int64_t{0}));
  trainer.set_skipped(state.value("skipped", int64_t{0}));
  if (trainer.loss_scale() != nullptr && state.contains("loss_scale")) {
    const Json& scale = state["loss_scale"];
    trainer.loss_scale()->restore(scale.value("value", 1.0), scale.value("clean_steps", int64_t{0}));
  }
  trainer.set_steps_done(state["step"].get<int64_t>());
}

ResolvedWeights resolve_weights(const fs::path& source, std::optional<double> ema) {
  if (!fs::exists(source)) throw InputError(concat(source.string(), ": no such file or folder"));
  if (!fs::is_directory(source)) {
    if (ema)
      throw InputError(
          concat(source.string(), ": is one weight file; an average can be chosen in a run only"));
    return {source, "the file itself"};
  }
  if (fs::exists(source / kState)) return chosen_weights(source, ema);
  if (const auto checkpoint = latest_checkpoint(source)) return chosen_weights(*checkpoint, ema);
  if (const auto weights = diffusers_weights(source)) {
    if (ema) throw InputError(concat(source.string(), ": is a diffusers folder, which holds no averages"));
    return {*weights, "the U-Net of a diffusers folder"};
  }
  throw InputError(concat(source.string(), ": neither a run with a checkpoint, nor a checkpoint folder (",
                          kState, "), nor a diffusers folder (unet/config.json)"));
}

}  // namespace cm
