// From a configuration to something that trains.
#pragma once

#include <memory>
#include <optional>

#include "cm/nn/lpips.h"
#include "cm/run/run_config.h"
#include "cm/training/image_codec.h"
#include "cm/training/trainer.h"

namespace cm {

// Everything a run consists of. Built once; its parts refer to one another, so it stays where it is.
class TrainingRun {
 public:
  // Opens the data, builds the networks and loads the weights they start from. InputError for what validate
  // (run_config.h) finds in a config made in C++, and for what does not fit: a data file, a network for these
  // images, a teacher or a kept start of another shape or kind, a distance for other images, pairs that start
  // at another σ, latents of another VAE or far from what data.latents says, a batch that the ranks of
  // `world` can't share.
  TrainingRun(const RunConfig& config, const torch::Device& device, const World& world = World());
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  // The config with everything that was left open filled in.
  const RunConfig& config() const { return config_; }
  const Dataset& dataset() const { return *dataset_; }
  // Makes pictures of what the student makes; where data.latents.vae is not given, not of latents.
  const ImageCodec& codec() const { return codec_; }
  Trainer& trainer() { return *trainer_; }
  const Model& student() const { return *student_; }
  const Objective& objective() const { return objective_; }

  // Images, which weights of a teacher and a start are taken and why, parameters and memory, for people.
  std::string summary() const;

 private:
  void open_data(const torch::Device& device);
  void load_teacher(const ResolvedWeights& chosen, const Method& method, const ImageSpec& image,
                    const torch::Device& device);
  void guide_teacher();

  RunConfig config_;
  std::unique_ptr<Dataset> dataset_;
  ImageCodec codec_;
  std::shared_ptr<const Lpips> lpips_;  // where the objective's distance is lpips
  std::string sources_;                 // of the weights, for summary()
  std::optional<Model> teacher_;
  std::optional<Model> student_;
  std::optional<Model> target_;
  std::optional<Model> start_;
  Objective objective_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace cm
