#include "cm/training/checkpoint.h"

#include <algorithm>
#include <cmath>

#include "checkpoint_layout.h"
#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/io/safetensors.h"
#include "cm/training/weight_file.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// Copies what is stored under the names of the first parameters into `values`, a list like own_of() of them;
// reads what falls to this rank, a tensor at a time.
void restore_named(const std::vector<std::string>& names, SafetensorsReader& file, const std::string& prefix,
                   const ParameterShards& shards, const std::vector<Tensor>& values) {
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = prefix + names[i];
    const auto found = file.header().tensors.find(name);
    if (found == file.header().tensors.end() || shards.parameters()[i].sizes() != found->second.shape) {
      throw InputError(concat(file.path().string(), ": ", name,
                              " is missing or of another shape: the checkpoint belongs to another network; "
                              "resume with the configuration of that run"));
    }
    if (shards.has_part_of(i)) shards.scatter(i, file.read(name), values);
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

// What its file says of an average; of one that does not tell, its name, and that it had no warm-up.
AverageState state_of(const Metadata& metadata, const fs::path& file, int64_t updates) {
  AverageState average = *average_named(file);
  if (const auto told = average_in(metadata, file.string())) {
    average.start_share = told->start_share;
  } else {
    average.start_share = std::pow(average.rate, static_cast<double>(updates));
  }
  return average;
}

// By their rates, ascending, then by their σ_rel.
std::vector<AverageState> saved_averages(const fs::path& checkpoint, int64_t updates) {
  std::vector<AverageState> averages;
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    if (!average_named(entry.path())) continue;
    averages.push_back(state_of(read_safetensors_header(entry.path()).metadata, entry.path(), updates));
  }
  std::ranges::sort(averages, {}, [](const AverageState& one) { return std::pair(one.power_std, one.rate); });
  return averages;
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

std::optional<int64_t> checkpoint_step(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return std::nullopt;
  return read_state(folder)["step"].get<int64_t>();
}

std::optional<CheckpointSummary> checkpoint_summary(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return std::nullopt;
  const Json state = read_state(folder);
  const int64_t updates = steps_in_stage(state);
  return CheckpointSummary{state["step"].get<int64_t>(), updates, saved_averages(folder, updates)};
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
    SafetensorsReader file(path);
    restore_named(parameter_names(student.network()), file, "", trainer.shards(), averages.average(i));
    const int64_t updates = steps_in_stage(state);
    averages.restore(i, state_of(file.header().metadata, path, updates).start_share, updates);
  }
  if (trainer.learned() != nullptr) {
    const fs::path learned = checkpoint / kLearned;
    copy_weights(load_safetensors(learned).tensors, *trainer.learned(), learned.string());
  }
  SafetensorsReader moments(checkpoint / kOptimizer);
  const auto names = trained_names(trainer);
  restore_named(names, moments, kFirstMoment, trainer.shards(), trainer.optimizer().first_moments());
  restore_named(names, moments, kSecondMoment, trainer.shards(), trainer.optimizer().second_moments());
  trainer.optimizer().set_updates(state.value("optimizer_updates", int64_t{0}));
  trainer.set_skipped(state.value("skipped", int64_t{0}));
  if (trainer.loss_scale() != nullptr && state.contains("loss_scale")) {
    const Json& scale = state["loss_scale"];
    trainer.loss_scale()->restore(scale.value("value", 1.0), scale.value("clean_steps", int64_t{0}));
  }
  trainer.set_steps_done(state["step"].get<int64_t>());
}

}  // namespace cm
