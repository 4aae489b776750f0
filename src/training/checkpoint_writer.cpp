#include "checkpoint_writer.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "checkpoint_layout.h"
#include "cm/base/clock.h"
#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/training/weight_file.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
constexpr double kNoticeableWait = 1;  // seconds

struct TensorFile {
  std::string name;
  NamedTensors tensors;
  Metadata metadata;
  bool is_copied = false;  // nobody writes to its tensors but for those on a device
};

struct Checkpoint {
  int64_t step = 0;
  std::vector<TensorFile> files;
  std::string state;  // the text of state.json
};

std::string state_text(Trainer& trainer) {
  Json state = {{"step", trainer.steps_done()},
                {"steps_in_stage", trainer.steps_in_stage()},
                {"optimizer_updates", trainer.optimizer().updates()},
                {"skipped", trainer.skipped()}};
  if (const LossScale* scale = trainer.loss_scale()) {
    state["loss_scale"] = {{"value", scale->value().item<double>()},
                           {"clean_steps", scale->clean_steps().item<int64_t>()}};
  }
  return json_text(state, 2) + "\n";
}

// A list of state that may be cut into parts, as whole tensors of the first `count` parameters: the trainer's
// own or, where it is cut, copies on rank 0's host and nothing on the others.
std::vector<Tensor> whole(const ParameterShards& shards, const std::vector<Tensor>& parts, size_t count) {
  if (shards.shard() == Shard::none) return parts;
  std::vector<Tensor> tensors(shards.world().is_first() ? count : 0);
  shards.gather(parts, count, [&](size_t i, const Tensor& tensor) {
    if (!tensors.empty())
      tensors[i] = tensor.to(torch::kCPU, tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  });
  return tensors;
}

std::vector<Tensor> whole_average(Trainer& trainer, size_t index) {
  return whole(trainer.shards(), trainer.averages().average(index), trainer.student().parameters().size());
}

struct WholeState {
  std::vector<std::vector<Tensor>> averages;
  std::vector<Tensor> first_moments;
  std::vector<Tensor> second_moments;
};

WholeState whole_state(Trainer& trainer) {
  const ParameterShards& shards = trainer.shards();
  WholeState state;
  for (size_t i = 0; i < trainer.averages().states().size(); ++i) {
    state.averages.push_back(whole_average(trainer, i));
  }
  state.first_moments = whole(shards, trainer.optimizer().first_moments(), shards.parameters().size());
  state.second_moments = whole(shards, trainer.optimizer().second_moments(), shards.parameters().size());
  return state;
}

// Its tensors are the trainer's own, or those of `whole`.
Checkpoint checkpoint_of(Trainer& trainer, const WholeState& whole) {
  const Model& student = trainer.student();
  const ModelOptions options = trainer.weight_options();
  const bool is_copied = trainer.shards().shard() != Shard::none;
  Checkpoint checkpoint{.step = trainer.steps_done(), .files = {}, .state = state_text(trainer)};
  auto& files = checkpoint.files;
  files.push_back({kModel, student.named_weights(), weight_metadata(options)});
  if (const Model* target = trainer.target()) {
    files.push_back({kTarget, target->named_weights(), weight_metadata(options)});
  }
  if (const Model* teacher = trainer.stage_teacher()) {
    files.push_back({kTeacher, teacher->named_weights(), weight_metadata(teacher->options())});
  }
  for (size_t i = 0; i < whole.averages.size(); ++i) {
    const AverageState& state = trainer.averages().states()[i];
    files.push_back({average_name(state), student.named_weights(whole.averages[i]),
                     weight_metadata(options, state), is_copied});
  }
  if (trainer.learned() != nullptr) files.push_back({kLearned, weights_of(*trainer.learned()), {}});
  const auto names = trained_names(trainer);
  NamedTensors moments = named_like(names, whole.first_moments, kFirstMoment);
  moments.merge(named_like(names, whole.second_moments, kSecondMoment));
  files.push_back({kOptimizer, std::move(moments), {}, is_copied});
  return checkpoint;
}

double bytes_of(const Checkpoint& checkpoint) {
  double bytes = 0;
  for (const TensorFile& file : checkpoint.files) {
    for (const auto& [name, tensor] : file.tensors) bytes += static_cast<double>(tensor.nbytes());
  }
  return bytes;
}

// Puts copies in `host`, which keeps them for the next time, in place of the checkpoint's tensors. Copies
// from a device are under way until the event that is returned.
c10::Event copy_to_host(Checkpoint& checkpoint, const torch::Device& device, std::vector<Tensor>& host) {
  const torch::NoGradGuard guard;
  size_t next = 0;
  for (TensorFile& file : checkpoint.files) {
    for (auto& [name, tensor] : file.tensors) {
      if (file.is_copied && tensor.is_cpu()) continue;
      if (next == host.size()) host.emplace_back();
      Tensor& copy = host[next++];
      if (!copy.defined() || copy.sizes() != tensor.sizes() || copy.dtype() != tensor.dtype()) {
        copy =
            torch::empty_like(tensor, tensor.options().device(torch::kCPU).pinned_memory(device.is_cuda()));
      }
      copy.copy_(tensor, /*non_blocking=*/true);
      tensor = copy;
    }
  }
  c10::Event copied(device.type());
  if (!device.is_cpu()) copied.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  return copied;
}

void write(const fs::path& checkpoints, const Checkpoint& checkpoint, const std::vector<int64_t>& old) {
  const std::string name = checkpoint_name(checkpoint.step);
  write_folder_atomically(checkpoints / name, [&](const fs::path& folder) {
    for (const TensorFile& file : checkpoint.files) {
      save_safetensors(folder / file.name, file.tensors, file.metadata);
    }
    write_file_atomically(folder / kState, checkpoint.state);
  });
  swing_link(checkpoints / kLatest, name);
  for (const int64_t step : old) remove_folder_atomically(checkpoints / checkpoint_name(step));
}

// Only parameters are rounded: a network's frequencies would not stand it, and are few.
TensorFile snapshot_of(Trainer& trainer, size_t index, const std::vector<Tensor>& average) {
  const torch::NoGradGuard guard;
  const AverageState& state = trainer.averages().states()[index];
  const auto type =
      trainer.ema_options().snapshot_type == SnapshotType::fp16 ? torch::kFloat16 : torch::kFloat32;
  TensorFile file{snapshot_name(trainer.steps_done(), *state.power_std),
                  trainer.student().named_weights(average), weight_metadata(trainer.weight_options(), state)};
  const auto names = parameter_names(trainer.student().network());
  const std::set<std::string> rounded(names.begin(), names.end());
  for (auto& [name, tensor] : file.tensors) {
    tensor = tensor.to(torch::kCPU, rounded.contains(name) ? type : tensor.scalar_type(),
                       /*non_blocking=*/false, /*copy=*/true);
  }
  return file;
}

// Of the run, where it is missing; not the run's own, which is gone where it was removed meanwhile.
void create_in_run(const fs::path& folder) {
  std::error_code failed;
  fs::create_directory(folder, failed);
  if (failed) throw Error(concat("could not create ", folder.string(), ": ", failed.message()));
}

template <class T>
bool is_ready(const std::future<T>& result) {
  return result.valid() && result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

std::vector<int64_t> superseded(const std::vector<int64_t>& steps, const TrainOptions& options,
                                const std::function<bool(int64_t)>& ends_stage) {
  std::vector<int64_t> result;
  if (options.keep_checkpoints == 0) return result;
  std::vector<int64_t> others;  // than the last ones of stages
  std::ranges::copy_if(steps, std::back_inserter(others), std::not_fn(ends_stage));
  int64_t window = 0;  // of keep_every steps: that of the checkpoint before
  for (size_t i = 0; i + static_cast<size_t>(options.keep_checkpoints) < others.size(); ++i) {
    const int64_t before = window;
    window = options.keep_every > 0 ? others[i] / options.keep_every : 0;
    if (window <= before) result.push_back(others[i]);
  }
  return result;
}

CheckpointWriter::~CheckpointWriter() {
  try {
    finish();
  } catch (const std::exception& error) {
    log_warning(concat("a checkpoint could not be saved: ", error.what()));
  }
}

void CheckpointWriter::save(Trainer& trainer) {
  const double start = seconds_now();
  finish_checkpoint();
  if (const double waited = seconds_now() - start; waited > kNoticeableWait) {
    log_warning(concat("step ", trainer.steps_done(), " waited ", human_duration(waited),
                       " until the checkpoint before was written; save less often (train.checkpoint_every)"));
  }
  const WholeState whole = whole_state(trainer);
  if (!trainer.world().is_first()) return;
  const fs::path checkpoints = run_ / kRunCheckpoints;
  create_in_run(checkpoints);
  Checkpoint checkpoint = checkpoint_of(trainer, whole);
  std::vector<int64_t> steps = saved_steps(checkpoints);
  if (std::ranges::find(steps, checkpoint.step) == steps.end()) steps.push_back(checkpoint.step);
  std::ranges::sort(steps);
  auto old = superseded(steps, options_, [&](int64_t step) { return trainer.begins_stage(step); });
  cost_.count += 1;
  cost_.bytes += bytes_of(checkpoint);
  if (options_.save_in_background) {
    auto copied = copy_to_host(checkpoint, trainer.student().device(), host_copies_);
    checkpoint_ =
        std::async(std::launch::async, [=, checkpoint = std::move(checkpoint), copied = std::move(copied),
                                        snapshots = std::move(snapshots_)]() mutable {
          if (snapshots.valid()) snapshots.get();
          copied.synchronize();
          write(checkpoints, checkpoint, old);
          return seconds_now() - start;
        });
  } else {
    write(checkpoints, checkpoint, old);
    cost_.seconds += seconds_now() - start;
  }
  cost_.seconds_stalled += seconds_now() - start;
}

void CheckpointWriter::save_snapshots(Trainer& trainer) {
  const double start = seconds_now();
  finish();
  std::vector<TensorFile> files;
  const auto& states = trainer.averages().states();
  for (size_t i = 0; i < states.size(); ++i) {
    if (!states[i].power_std) continue;
    const std::vector<Tensor> average = whole_average(trainer, i);
    if (trainer.world().is_first()) files.push_back(snapshot_of(trainer, i, average));
  }
  if (!trainer.world().is_first()) return;
  const fs::path folder = run_ / kRunAverages;
  create_in_run(folder);
  snapshots_ = std::async(std::launch::async, [=, files = std::move(files)] {
    for (const TensorFile& file : files) save_safetensors(folder / file.name, file.tensors, file.metadata);
  });
  if (!options_.save_in_background) finish();
  cost_.seconds_stalled += seconds_now() - start;
}

void CheckpointWriter::check() {
  if (is_ready(snapshots_) || is_ready(checkpoint_)) finish();
}

void CheckpointWriter::finish() {
  if (snapshots_.valid()) snapshots_.get();
  finish_checkpoint();
}

void CheckpointWriter::finish_checkpoint() {
  if (checkpoint_.valid()) cost_.seconds += checkpoint_.get();
}

}  // namespace cm
