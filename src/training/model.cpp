#include "cm/training/model.h"

namespace cm {
namespace {

NetworkMaker maker_of(const ModelOptions& options) {
  return [network = options.network, image = options.image](std::optional<uint64_t> seed) {
    return make_network(network, image, seed);
  };
}

}  // namespace

Model::Model(const ModelOptions& options, const torch::Device& device, std::optional<uint64_t> seed)
    : Model(options, device, maker_of(options), seed) {
  time_scale_ = time_scale(options.network);
}

Model::Model(const ModelOptions& options, const torch::Device& device, NetworkMaker maker,
             std::optional<uint64_t> seed)
    : options_(options), device_(device), time_scale_(1), maker_(std::move(maker)), network_(maker_(seed)) {
  network_->to(device);
}

Denoiser Model::denoiser(const Tensor& labels, const Tensor& dropout_keys) const {
  if (!recorded_ || dropout_keys.defined() || is_flow_map(options_.parameterization))
    return denoiser_as(options_.parameterization, labels, dropout_keys);
  return [recorded = recorded_, labels](const Tensor& x, const Tensor& sigma) {
    const bool labelled = labels.defined();
    return recorded->run(labelled ? std::vector{x, sigma, labels} : std::vector{x, sigma}).front();
  };
}

Denoiser Model::denoiser_as(Parameterization parameterization, const Tensor& labels,
                            const Tensor& dropout_keys) const {
  if (is_flow_map(parameterization)) return ending_at(flow_map(labels, dropout_keys));
  return precondition(parameterization, options_.sigma, time_scale_, raw_network(labels, dropout_keys));
}

Path Model::path() const {
  return path_of(options_.parameterization, options_.sigma);
}

MeanVelocity Model::mean_velocity(const Tensor& labels, const Tensor& dropout_keys) const {
  TORCH_CHECK(is_flow_map(options_.parameterization), to_string(options_.parameterization),
              " makes no flow map");
  return cm::mean_velocity(path(), [network = network_, labels, dropout_keys](
                                       const Tensor& x, const Tensor& time, const Tensor& second_time) {
    return network->forward(x, {.time = time, .labels = labels, .second_time = second_time}, dropout_keys);
  });
}

FlowMap Model::flow_map(const Tensor& labels, const Tensor& dropout_keys) const {
  if (!recorded_ || dropout_keys.defined()) return flow_of(path(), mean_velocity(labels, dropout_keys));
  return [recorded = recorded_, labels](const Tensor& x, const Tensor& t, const Tensor& s) {
    return recorded->run(labels.defined() ? std::vector{x, t, s, labels} : std::vector{x, t, s}).front();
  };
}

RawNetwork Model::raw_network(const Tensor& labels, const Tensor& dropout_keys) const {
  return [network = network_, labels, dropout_keys](const Tensor& x, const Tensor& time) {
    return network->forward(x, {time, labels}, dropout_keys);
  };
}

NamedTensors Model::named_weights(const std::vector<Tensor>& parameters) const {
  NamedTensors named = named_weights();
  size_t i = 0;
  for (const auto& parameter : network_->named_parameters()) named[parameter.key()] = parameters[i++];
  return named;
}

void Model::freeze() {
  for (auto& parameter : network_->parameters()) parameter.requires_grad_(false);
}

void Model::hold_in(ComputeType type) {
  compute_in(type);
  network_->hold_in_compute_type();
}

void Model::record_evaluations() {
  Model plain = *this;
  plain.recorded_.reset();
  const auto evaluate = [model = std::move(plain)](const std::vector<Tensor>& inputs) {
    const bool is_map = is_flow_map(model.options().parameterization);
    const size_t tensors = is_map ? 3 : 2;
    const Tensor labels = inputs.size() > tensors ? inputs[tensors] : Tensor();
    if (is_map) return std::vector{model.flow_map(labels)(inputs[0], inputs[1], inputs[2])};
    return std::vector{model.denoiser(labels)(inputs[0], inputs[1])};
  };
  recorded_ = std::make_shared<RecordedCall>("--cuda-graph: an evaluation", device_, evaluate);
}

Model Model::frozen_copy(const ModelOptions& options) const {
  Model copy(options, device_, maker_);
  copy.time_scale_ = time_scale_;
  copy_weights(network(), copy.network(), "a copy");
  copy.freeze();
  copy.compute_in(network().compute_type());
  return copy;
}

Model make_model(const WeightFile& file, const torch::Device& device, const std::string& what,
                 std::optional<ComputeType> type) {
  Model model(file.options, device);
  copy_weights(file.weights, model.network(), what);
  model.freeze();
  if (type) model.hold_in(*type);
  return model;
}

Model load_model(const std::filesystem::path& path, const torch::Device& device,
                 std::optional<ComputeType> type) {
  return make_model(load_weight_file(path), device, path.string(), type);
}

void load_weights(const std::filesystem::path& path, Model& model) {
  copy_weights(load_weight_file(path).weights, model.network(), path.string());
}

}  // namespace cm
