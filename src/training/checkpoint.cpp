#include "cm/training/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iomanip>

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

constexpr const char* kModel = "model.safetensors";
constexpr const char* kTarget = "target.safetensors";
constexpr const char* kTeacher = "teacher.safetensors";
constexpr const char* kLearned = "objective.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kCheckpoints = "checkpoints";
constexpr const char* kState = "state.json";
constexpr const char* kEmaPrefix = "ema-";
constexpr const char* kWeightSuffix = ".safetensors";

std::string ema_name(double rate) {
  return concat(kEmaPrefix, shortest(rate), kWeightSuffix);
}

std::string checkpoint_name(int64_t step) {
  return concat("step-", std::setw(8), std::setfill('0'), step);
}

std::vector<std::string> parameter_names(const torch::nn::Module& module, const std::string& prefix = "") {
  std::vector<std::string> names;
  for (const auto& parameter : module.named_parameters()) names.push_back(prefix + parameter.key());
  return names;
}

// Of all that the optimizer updates, in its order.
std::vector<std::string> trained_names(Trainer& trainer) {
  std::vector<std::string> names = parameter_names(trainer.student().network());
  if (trainer.learned() != nullptr) {
    for (auto& name : parameter_names(*trainer.learned(), "objective.")) names.push_back(std::move(name));
  }
  return names;
}

// `values` by `names`, which are in the same order.
NamedTensors named_like(const std::vector<std::string>& names, const std::vector<Tensor>& values,
                        const std::string& prefix = "") {
  NamedTensors named;
  for (size_t i = 0; i < names.size(); ++i) named[prefix + names[i]] = values[i];
  return named;
}

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

Json read_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kState;
  const Json state = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (state.is_discarded() || !state.contains("step") || !state["step"].is_number_integer()) {
    throw InputError(concat(path.string(), ": not the state of a checkpoint (a JSON object with \"step\")"));
  }
  return state;
}

// Since the averages were started; equal to "step" where training has no stages.
int64_t steps_in_stage(const Json& state) {
  return state.value("steps_in_stage", state["step"].get<int64_t>());
}

// The rate of a file that ema_name named.
std::optional<double> rate_of(const fs::path& file) {
  const std::string name = file.filename().string();
  if (!name.starts_with(kEmaPrefix)) return std::nullopt;
  double rate = 0;
  const char* begin = name.data() + std::string_view(kEmaPrefix).size();
  const bool parsed = std::from_chars(begin, name.data() + name.size(), rate).ec == std::errc();
  return parsed ? std::optional(rate) : std::nullopt;
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

// The step of a folder that checkpoint_name named.
std::optional<int64_t> step_of(const fs::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  const std::string_view prefix = "step-";
  int64_t step = 0;
  if (!name.starts_with(prefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, step);
  return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(step) : std::nullopt;
}

// The last checkpoint of a stage is a result, and stays.
void remove_old(const fs::path& folder, int64_t keep, const Trainer& trainer) {
  if (keep == 0) return;
  std::vector<int64_t> steps;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto step = step_of(entry.path());
    const bool ours = entry.is_directory() && !entry.is_symlink() && step;
    if (ours && !trainer.begins_stage(*step)) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  for (size_t i = 0; i + static_cast<size_t>(keep) < steps.size(); ++i) {
    remove_folder_atomically(folder / checkpoint_name(steps[i]));
  }
}

// "0.02 %": to two digits.
std::string percent(double share) {
  std::ostringstream text;
  text.precision(2);
  text << 100 * share << " %";
  return text.str();
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

void save_checkpoint(const fs::path& run, Trainer& trainer, int64_t keep) {
  const fs::path folder = run / kCheckpoints;
  std::error_code failed;
  fs::create_directory(folder, failed);  // and not the run's, which is gone where it was removed meanwhile
  if (failed) throw Error(concat("could not create ", folder.string(), ": ", failed.message()));
  const std::string name = checkpoint_name(trainer.steps_done());
  const Model& student = trainer.student();
  const ModelOptions options = trainer.weight_options();
  write_folder_atomically(folder / name, [&](const fs::path& path) {
    save_weights(path / kModel, options, student.named_weights());
    if (trainer.target() != nullptr) {
      save_weights(path / kTarget, options, trainer.target()->named_weights());
    }
    if (const Model* teacher = trainer.stage_teacher()) {
      save_weights(path / kTeacher, teacher->options(), teacher->named_weights());
    }
    const EmaSet& averages = trainer.averages();
    for (size_t i = 0; i < averages.states().size(); ++i) {
      const AverageState& state = averages.states()[i];
      save_weights(path / ema_name(state.rate), options, student.named_weights(averages.average(i)), state);
    }
    if (trainer.learned() != nullptr) save_safetensors(path / kLearned, weights_of(*trainer.learned()));
    const auto names = trained_names(trainer);
    NamedTensors moments = named_like(names, trainer.optimizer().first_moments(), "first_moment.");
    moments.merge(named_like(names, trainer.optimizer().second_moments(), "second_moment."));
    save_safetensors(path / kOptimizer, moments);
    Json state = {{"step", trainer.steps_done()},
                  {"steps_in_stage", trainer.steps_in_stage()},
                  {"optimizer_updates", trainer.optimizer().updates()},
                  {"skipped", trainer.skipped()}};
    if (const LossScale* scale = trainer.loss_scale()) {
      state["loss_scale"] = {{"value", scale->value().item<double>()},
                             {"clean_steps", scale->clean_steps().item<int64_t>()}};
    }
    write_file_atomically(path / kState, json_text(state, 2) + "\n");
  });
  swing_link(folder / "latest", name);
  remove_old(folder, keep, trainer);
}

std::optional<fs::path> latest_checkpoint(const fs::path& run) {
  const fs::path link = run / kCheckpoints / "latest";
  if (!fs::exists(link / kState)) return std::nullopt;
  return run / kCheckpoints / fs::read_symlink(link);
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
  const fs::path run = above.filename() == kCheckpoints ? above.parent_path() : above;
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
    *teacher = load_model(checkpoint / kTeacher, student.device());
    teacher->compute_in(student.network().compute_type());
  }
  EmaSet& averages = trainer.averages();
  for (size_t i = 0; i < averages.states().size(); ++i) {
    const double rate = averages.states()[i].rate;
    const fs::path path = checkpoint / ema_name(rate);
    const SafetensorsFile file = load_safetensors(path);
    restore_named(parameter_names(student.network()), path, file.tensors, "", averages.average(i));
    averages.restore_start_share(i, start_share(file.metadata, path, rate, steps_in_stage(state)));
  }
  if (trainer.learned() != nullptr) {
    const fs::path learned = checkpoint / kLearned;
    copy_weights(load_safetensors(learned).tensors, *trainer.learned(), learned.string());
  }
  const fs::path path = checkpoint / kOptimizer;
  const NamedTensors moments = load_safetensors(path).tensors;
  const auto names = trained_names(trainer);
  restore_named(names, path, moments, "first_moment.", trainer.optimizer().first_moments());
  restore_named(names, path, moments, "second_moment.", trainer.optimizer().second_moments());
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
