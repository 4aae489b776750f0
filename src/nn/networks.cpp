#include "cm/nn/networks.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

CommonNetworkOptions& common_options(NetworkOptions& options) {
  return std::visit([](auto& o) -> CommonNetworkOptions& { return o; }, options);
}

const CommonNetworkOptions& common_options(const NetworkOptions& options) {
  return std::visit([](const auto& o) -> const CommonNetworkOptions& { return o; }, options);
}

double time_scale(const NetworkOptions& options) {
  return std::visit([](const auto& o) { return o.kTimeScale; }, options);
}

void validate_for(const NetworkOptions& options, const ImageSpec& image, const Complain& complain) {
  std::visit([&](const auto& o) { validate_for(o, image, complain); }, options);
}

void check_fits(const NetworkOptions& options, const ImageSpec& image) {
  refuse_mistakes("", [&](const Complain& complain) {
    validate(options, complain);
    validate_for(options, image, complain);
  });
}

std::shared_ptr<Network> make_network(const NetworkOptions& options, const ImageSpec& image,
                                      std::optional<uint64_t> seed) {
  check_fits(options, image);
  return std::visit([&](const auto& o) { return build(o, image, Initializer(seed)); }, options);
}

void begin_second_time(std::map<std::string, Tensor>& weights, const NetworkOptions& options,
                       const ImageSpec& image, uint64_t seed) {
  NetworkOptions of_one = options;
  common_options(of_one).second_time = false;
  const auto known = weights_of(*make_network(of_one, image));
  const auto network = make_network(options, image, seed);
  const auto ends = network->ends_of_second_time();
  for (const auto& [name, tensor] : weights_of(*network)) {
    if (known.contains(name)) continue;
    const bool is_end = std::ranges::find(ends, name) != ends.end();
    weights.try_emplace(name, is_end ? torch::zeros_like(tensor) : tensor.detach());
  }
}

InferredNetwork infer_network(const WeightShapes& weights, int64_t image_size, const std::string& what) {
  std::optional<InferredNetwork> found;
  for_each_alternative<NetworkOptions>([&](auto options) {
    ImageSpec image{.size = image_size};
    if (!found && infer(weights, options, image)) found = {options, image};
  });
  if (found) return *found;
  throw InputError(concat(what, ": weights of no network that is known here (",
                          join(all_names<Alternative<NetworkOptions>>()), ")"));
}

}  // namespace cm
