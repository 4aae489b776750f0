#include "cm/nn/network.h"

#include "cm/base/error.h"
#include "cm/base/text.h"

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
                                     const torch::OrderedDict<std::string, Tensor>& to) {
  std::vector<std::string> found;
  for (const auto& parameter : to) {
    const auto source = from.find(parameter.key());
    if (source == from.end()) {
      found.push_back(concat(parameter.key(), " is missing"));
    } else if (source->second.sizes() != parameter.value().sizes()) {
      found.push_back(concat(parameter.key(), " is ", shape_text(source->second), ", the network needs ",
                             shape_text(parameter.value())));
    }
  }
  for (const auto& [name, tensor] : from) {
    if (!to.contains(name)) found.push_back(concat(name, " ", shape_text(tensor), " is not in the network"));
  }
  return found;
}

}  // namespace

int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

void copy_parameters(const std::map<std::string, Tensor>& from, torch::nn::Module& to,
                     const std::string& what) {
  const auto parameters = to.named_parameters();
  auto found = differences(from, parameters);
  if (!found.empty()) {
    const size_t count = found.size();
    found.resize(std::min(count, kDifferencesShown));
    throw InputError(concat(what, ": weights of another network, ", count,
                            " tensors differ: ", join(found, "; "), count > kDifferencesShown ? "; …" : ""));
  }
  const torch::NoGradGuard guard;
  for (const auto& parameter : parameters) parameter.value().copy_(from.at(parameter.key()));
}

void copy_parameters(const torch::nn::Module& from, torch::nn::Module& to, const std::string& what) {
  std::map<std::string, Tensor> tensors;
  for (const auto& parameter : from.named_parameters()) tensors[parameter.key()] = parameter.value();
  copy_parameters(tensors, to, what);
}

}  // namespace cm
