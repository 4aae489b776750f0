#include "cm/nn/network.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/kernels/convolution.h"

namespace cm {
namespace {

constexpr size_t kDifferencesShown = 5;

std::string shape_text(const Tensor& tensor) {
  std::vector<std::string> sizes;
  for (const int64_t size : tensor.sizes()) sizes.push_back(std::to_string(size));
  return concat("[", join(sizes), "]");
}

// One phrase a tensor that is missing, unexpected or of another shape.
std::vector<std::string> differences(const std::map<std::string, Tensor>& from,
                                     const std::map<std::string, Tensor>& to) {
  std::vector<std::string> found;
  for (const auto& [name, tensor] : to) {
    const auto source = from.find(name);
    if (source == from.end()) {
      found.push_back(concat(name, " ", shape_text(tensor), " is missing"));
    } else if (source->second.sizes() != tensor.sizes()) {
      found.push_back(
          concat(name, " is ", shape_text(source->second), ", the network needs ", shape_text(tensor)));
    }
  }
  for (const auto& [name, tensor] : from) {
    if (!to.contains(name)) found.push_back(concat(name, " ", shape_text(tensor), " is not in the network"));
  }
  return found;
}

}  // namespace

std::string in_words(const ImageSpec& image) {
  const std::string classes = image.classes == 0 ? "no classes" : concat(image.classes, " classes");
  return concat(image.channels, " × ", image.size, " × ", image.size, ", ", classes);
}

Tensor Network::forward(const Tensor& x, const Conditioning& told, const Tensor& dropout_keys) {
  TORCH_CHECK(told.second_time.defined() == takes_second_time(),
              takes_second_time() ? "this network takes two times" : "this network takes one time only");
  TORCH_CHECK(!told.guidance.defined() || takes_guidance(), "this network takes no guidance");
  return compute(x, told, dropout_keys);
}

Tensor Network::trunk_input(const Tensor& x) const {
  const torch::Dtype type = number_type(compute_type_);
  return in_convolution_layout(type == torch::kFloat32 ? x : x.to(type));
}

int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

std::map<std::string, Tensor> weights_of(const torch::nn::Module& module) {
  std::map<std::string, Tensor> weights;
  for (const auto& parameter : module.named_parameters()) weights[parameter.key()] = parameter.value();
  for (const auto& buffer : module.named_buffers()) weights[buffer.key()] = buffer.value();
  return weights;
}

void check_weights(const std::map<std::string, Tensor>& from, const std::map<std::string, Tensor>& like,
                   const std::string& what) {
  auto found = differences(from, like);
  if (found.empty()) return;
  const size_t count = found.size();
  found.resize(std::min(count, kDifferencesShown));
  throw InputError(concat(what, ": weights of another network, ", count,
                          " tensors differ: ", join(found, "; "), count > kDifferencesShown ? "; …" : ""));
}

void check_weights(const std::map<std::string, Tensor>& from, const torch::nn::Module& to,
                   const std::string& what) {
  check_weights(from, weights_of(to), what);
}

void copy_weights(const std::map<std::string, Tensor>& from, torch::nn::Module& to, const std::string& what) {
  check_weights(from, to, what);
  const torch::NoGradGuard guard;
  for (const auto& [name, tensor] : weights_of(to)) tensor.copy_(from.at(name));
}

void copy_weights(const torch::nn::Module& from, torch::nn::Module& to, const std::string& what) {
  copy_weights(weights_of(from), to, what);
}

}  // namespace cm
