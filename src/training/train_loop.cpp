#include "cm/training/train_loop.h"

#include <optional>

#include "checkpoint_writer.h"
#include "cm/base/clock.h"
#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"
#include "cm/distributed/agreement.h"
#include "cm/distributed/spread.h"
#include "cm/io/image.h"
#include "cm/training/checkpoint.h"
#include "cm/training/image_codec.h"
#include "cm/training/interrupt.h"
#include "cm/training/power_snapshots.h"
#include "cm/training/run_log.h"
#include "cm/training/sampling.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPreviewColumns = 10;
constexpr double kNoticeableStall = 1;  // seconds, of a whole run

// The numbers between two log lines. The loss is summed on the device and read once a line.
class Interval {
 public:
  void add(const StepResult& result) {
    loss_ = steps_ == 0 ? result.loss : loss_ + result.loss;
    gradient_norm_ = result.gradient_norm;
    ++steps_;
  }

  // One line of metrics for the step that was just done, with the settings that it ran with. Waits for the
  // device.
  Json line(const Trainer& trainer, const TrainOptions& options, double lr,
            const CurriculumPoint& point) const {
    Json json = {{"step", trainer.steps_done()},
                 {"loss", loss_.item<double>() / static_cast<double>(steps_)},
                 {"gradient_norm", gradient_norm_.item<double>()},
                 {"learning_rate", lr}};
    if (point.levels) json["n"] = *point.levels;
    if (point.decay) json["mu"] = *point.decay;
    if (const int64_t skipped = trainer.skipped(); skipped > 0) json["skipped"] = skipped;
    if (options.cuda_graph) json["played"] = trainer.steps_played();
    if (trainer.loss_scale() != nullptr) {
      json["loss_scale"] = trainer.loss_scale()->value().item<double>();
    }
    json["images_per_second"] = static_cast<double>(steps_ * options.batch_size) / (seconds_now() - start_);
    return json;
  }

 private:
  Tensor loss_;
  Tensor gradient_norm_;
  int64_t steps_ = 0;
  double start_ = seconds_now();
};

std::string details_of(const Json& line) {
  std::string text;
  for (const auto& [key, value] : line.items()) {
    if (key == "step") continue;
    text += concat(text.empty() ? "" : "  ", key, " ", significant(value.get<double>(), 4));
  }
  return text;
}

bool due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

// Not where a run is interrupted: it goes on without such a snapshot, as if it never had been.
bool snapshots_due(const Trainer& trainer, const TrainOptions& options) {
  const EmaOptions& ema = trainer.ema_options();
  const int64_t step = trainer.steps_done();
  return !ema.power_stds.empty() &&
         (due(step, ema.snapshot_every) || step == options.steps || trainer.begins_stage(step));
}

// Without a VAE, of latents the first three channels, or one, white being two deviations of the data.
Tensor shown(const ImageCodec& codec, const ModelOptions& model, const Tensor& x) {
  if (!model.latents || codec.of_latents()) return codec.decode(x);
  const int64_t channels = x.size(1) < 3 ? 1 : 3;
  return x.narrow(1, 0, channels) / (2 * model.sigma.data);
}

LoaderOptions loader_options(const TrainOptions& options, const DataOptions& data, Trainer& trainer) {
  LoaderOptions result;
  result.batch_size = options.batch_size;
  result.part = trainer.world().rank();
  result.parts = trainer.world().size();
  result.seed = static_cast<uint64_t>(options.seed);
  result.workers = data.workers;
  result.horizontal_flip = data.horizontal_flip;
  result.pinned = trainer.student().device().is_cuda();
  return result;
}

// A failure must not hide where the last good state is, nor why that is not a later one.
[[noreturn]] void rethrow_with_last_good(const Error& error, CheckpointWriter& checkpoints,
                                         const fs::path& run) {
  std::string text = error.what();
  try {
    checkpoints.finish();
  } catch (const Error& also) {
    text += concat("; nor could the checkpoint be saved that was being written: ", also.what());
  }
  const auto good = latest_checkpoint(run);
  throw Error(concat(text, "; the last good checkpoint is ",
                     good ? concat(good->string(), " (go on with --resume)") : "none"));
}

}  // namespace

Tensor preview_picture(Trainer& trainer, const TrainOptions& options, const ImageCodec& codec) {
  const Model& student = trainer.student();
  const ModelOptions model_options = trainer.weight_options();
  const Model model = student.frozen_copy(model_options);
  const EmaSet& averages = trainer.averages();
  const auto index = settled_average(averages.states());
  if (index) {
    std::vector<Tensor> parameters = model.parameters();
    trainer.shards().gather(averages.average(*index), parameters.size(),
                            [&](size_t i, const Tensor& average) { parameters[i].copy_(average); });
  }

  const SamplerOptions sampler = choose_sampler({}, model_options);
  const int64_t batch = rank_batch_size(options, trainer.world());
  const auto make = [&](int64_t first, int64_t count) {
    Tensor labels;
    if (model_options.image.classes > 0) {
      labels = torch::arange(first, first + count, torch::kInt64).remainder(model_options.image.classes);
    }
    const auto noise = seeded_noise(model_options, sampler, static_cast<uint64_t>(options.seed), first, count,
                                    trainer.student().device());
    return to_uint8(shown(codec, model_options, sample(model, sampler, noise, labels)));
  };
  const Tensor images = spread_batches(trainer.world(), options.sample_count, batch, make);
  return images.defined() ? make_grid(images, kPreviewColumns) : images;
}

namespace {

// What rank 0 tells of the run; the others say nothing.
class Report {
 public:
  Report(const Trainer& trainer, const TrainOptions& options, const fs::path& run) {
    if (!trainer.world().is_first()) return;
    log_.emplace(run, trainer.steps_done());
    progress_.emplace("training", options.steps, trainer.steps_done());
  }

  void add(const StepResult& result) { interval_.add(result); }

  void line(const Trainer& trainer, const TrainOptions& options, double lr, const CurriculumPoint& point) {
    if (log_) {
      const Json line = interval_.line(trainer, options, lr, point);
      log_->metrics(line);
      details_ = details_of(line);
    }
    interval_ = Interval();
  }

  void progress(int64_t step) {
    if (progress_) progress_->update(step, details_);
  }

  void samples(const Tensor& picture, int64_t step) {
    if (log_) log_->samples(picture, step);
  }

  // What checkpoints have cost, where training has waited for them noticeably.
  void saved(const CheckpointWriter::Cost& cost) {
    if (!progress_ || cost.seconds_stalled < kNoticeableStall) return;
    progress_->clear();
    const auto count = static_cast<double>(cost.count);
    log_info(concat("checkpoints ", cost.count, " of ", human_bytes(cost.bytes / count), ", each saved in ",
                    human_duration(cost.seconds / count), "; training stood still for ",
                    human_duration(cost.seconds_stalled / count), " of that"));
  }

 private:
  std::optional<RunLog> log_;
  std::optional<Progress> progress_;
  Interval interval_;
  std::string details_;
};

TrainOutcome run_steps(Trainer& trainer, const TrainOptions& options, Loader& loader, const ImageCodec& codec,
                       const fs::path& run, CheckpointWriter& checkpoints) {
  const InterruptGuard interrupt;
  Agreement stopping(trainer.world());
  Agreement saving_by_time(trainer.world());
  Report report(trainer, options, run);
  Schedule saving(options.checkpoint_every);
  while (trainer.steps_done() < options.steps) {
    const double lr = trainer.lr();
    const CurriculumPoint point = trainer.curriculum();
    report.add(trainer.step(loader.next()));
    const int64_t step = trainer.steps_done();
    const bool stop = stopping.agreed(interrupt.requested());
    const bool last = stop || step == options.steps;
    if (last || due(step, options.log_every)) {
      trainer.check_finite();
      report.line(trainer, options, lr, point);
    }
    report.progress(step);
    if (due(step, options.sample_every)) report.samples(preview_picture(trainer, options, codec), step);
    checkpoints.check();
    if (snapshots_due(trainer, options)) {
      trainer.check_finite();
      checkpoints.save_snapshots(trainer);
    }
    bool save = saving.due(step);
    if (saving.goes_by_time()) save = saving_by_time.agreed(save && trainer.world().is_first());
    if (save || last || trainer.begins_stage(step)) {
      trainer.check_finite();
      checkpoints.save(trainer);
    }
    if (stop) break;
  }
  checkpoints.finish();
  report.saved(checkpoints.cost());
  return trainer.steps_done() < options.steps ? TrainOutcome::interrupted : TrainOutcome::finished;
}

}  // namespace

TrainOutcome train(Trainer& trainer, const TrainOptions& options, const Dataset& dataset,
                   const DataOptions& data, const fs::path& run, const ImageCodec& codec) {
  CheckpointWriter checkpoints(run, options);
  try {
    trainer.share_state();
    if (trainer.world().is_first()) remove_snapshots_after(run, trainer.steps_done());
    Loader loader(dataset, loader_options(options, data, trainer), trainer.steps_done());
    const TrainOutcome outcome = run_steps(trainer, options, loader, codec, run, checkpoints);
    trainer.world().barrier();  // so that no rank ends well where rank 0 can't write
    return outcome;
  } catch (const InputError&) {
    throw;
  } catch (const Error& error) {
    rethrow_with_last_good(error, checkpoints, run);
  }
}

}  // namespace cm
