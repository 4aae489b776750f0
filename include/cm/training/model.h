// A network with all that turns it into a denoiser or a consistency function, and its file.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cm/diffusion/preconditioning.h"
#include "cm/nn/network.h"
#include "cm/training/recorded_call.h"
#include "cm/training/weight_file.h"

namespace cm {

// Makes a network; `seed` decides its initial weights, without one they may be anything, to be copied over.
using NetworkMaker = std::function<std::shared_ptr<Network>(std::optional<uint64_t> seed)>;

class Model {
 public:
  // `seed` decides the initial weights; without one they are 0, to be loaded.
  Model(const ModelOptions& options, const torch::Device& device,
        std::optional<uint64_t> seed = std::nullopt);

  // The same with a network of one's own for images of options.image, which takes its time as c_noise = ¼ ln
  // σ (trig: t). options.network has no meaning then, so that a weight file cannot bring the model back.
  Model(const ModelOptions& options, const torch::Device& device, NetworkMaker maker,
        std::optional<uint64_t> seed = std::nullopt);

  // The denoiser or consistency function that the parameterization makes of the network, with labels (int64
  // [B], undefined where there are no classes) and dropout bound. Shares this model's weights.
  Denoiser denoiser(const Tensor& labels = {}, const Tensor& dropout_keys = {}) const;

  // The same network by the scalings of another parameterization than its own.
  Denoiser denoiser_as(Parameterization parameterization, const Tensor& labels = {},
                       const Tensor& dropout_keys = {}) const;

  // The path of a parameterization that has one; otherwise c10::Error.
  Path path() const;

  // Of a flow map, u(z, t, s) in the times of its path, with labels and dropout bound, and the map between
  // noise levels that it defines. c10::Error in other parameterizations.
  MeanVelocity mean_velocity(const Tensor& labels = {}, const Tensor& dropout_keys = {}) const;
  FlowMap flow_map(const Tensor& labels = {}, const Tensor& dropout_keys = {}) const;

  // The network itself, F(x, time), with labels and dropout bound.
  RawNetwork raw_network(const Tensor& labels = {}, const Tensor& dropout_keys = {}) const;

  const ModelOptions& options() const { return options_; }
  Network& network() const { return *network_; }
  torch::Device device() const { return device_; }
  std::vector<Tensor> parameters() const { return network_->parameters(); }
  // What a weight file of this model holds; with `parameters` (an average of them, in the same order) in
  // place of its own.
  NamedTensors named_weights() const { return weights_of(*network_); }
  NamedTensors named_weights(const std::vector<Tensor>& parameters) const;

  // No parameter of this model gets a gradient from now on.
  void freeze();

  // What the network computes in from now on (cm/nn/compute_type.h): fp32 unless set.
  void compute_in(ComputeType type) { network_->compute_in(type); }

  // The same for a frozen model whose weights stay as they are: it holds them for that.
  void hold_in(ComputeType type);

  // From now on evaluations of denoiser() without dropout are recorded (RecordedCall) on this model's GPU:
  // for a frozen model whose weights stay as they are, and callers that want no gradient.
  void record_evaluations();

  // From now on guidance leads away from this model (cm/training/guided_model.h), on the same device.
  void guide_by(Model weaker) { guide_ = std::make_shared<const Model>(std::move(weaker)); }
  const Model* guide() const { return guide_.get(); }

  // A frozen model of the same network with weights of its own, under `options`, which describe that network;
  // it computes in the same type.
  Model frozen_copy(const ModelOptions& options) const;

 private:
  ModelOptions options_;
  torch::Device device_;
  double time_scale_;
  NetworkMaker maker_;
  std::shared_ptr<Network> network_;
  std::shared_ptr<RecordedCall> recorded_;
  std::shared_ptr<const Model> guide_;
};

// A frozen model of a file's weights; with a `type` it computes in that and holds its weights for it, which
// are then no longer the file's. InputError, with `what` in front, when they are those of another network
// than its options say.
Model make_model(const WeightFile& file, const torch::Device& device, const std::string& what,
                 std::optional<ComputeType> type = std::nullopt);

// The same from one weight file (cm/training/weight_file.h). InputError also as load_weight_file.
Model load_model(const std::filesystem::path& path, const torch::Device& device,
                 std::optional<ComputeType> type = std::nullopt);

// Loads a weight file into an existing model whose network has the same shape, whatever its parameterization.
// Same errors.
void load_weights(const std::filesystem::path& path, Model& model);

}  // namespace cm
