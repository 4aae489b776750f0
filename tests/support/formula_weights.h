// Weights that a fixture does not store but defines by a formula: tensor j, element i, of a 64-bit hash of
// (seed, j, i), listed in the sidecar's "weight_order".
#pragma once

#include "support/parity.h"

namespace cm::test {

// Uniform in [0, 1) with 53 bits.
inline double hashed_uniform(uint64_t seed, uint64_t tensor, uint64_t element) {
  uint64_t z = (seed << 40) + (tensor << 32) + 0x9E3779B97F4A7C15 + element;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z = z ^ (z >> 31);
  return static_cast<double>(z >> 11) * 0x1p-53;
}

inline NamedTensors formula_weights(const Json& config) {
  const auto seed = config.at("weight_seed").get<uint64_t>();
  NamedTensors weights;
  for (const auto& entry : config.at("weight_order")) {
    const auto j = entry.at("j").get<uint64_t>();
    const auto offset = entry.at("offset").get<double>();
    const auto scale = entry.at("scale").get<double>();
    Tensor tensor = torch::empty(entry.at("shape").get<std::vector<int64_t>>());
    auto* values = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const double u = hashed_uniform(seed, j, static_cast<uint64_t>(i));
      values[i] = static_cast<float>(offset + scale * (2 * u - 1));
    }
    weights[entry.at("name").get<std::string>()] = tensor;
  }
  return weights;
}

// The fixture's formula weights, after a look at what it stores of each, the first values and the sum: not a
// word about our code yet, but whether the weights are those that the reference had.
inline NamedTensors checked_formula_weights(const Fixture& fixture) {
  NamedTensors weights = formula_weights(fixture.config);
  for (const auto& [name, tensor] : weights) {
    SCOPED_TRACE(name);
    const Tensor& head = fixture["weight_head." + name];
    expect_parity({fixture.name, "weights by formula, first entries"},
                  exact(tensor.flatten().narrow(0, 0, head.numel()), head));
    const double sum = tensor.to(torch::kFloat64).sum().item<double>();
    expect_parity({fixture.name, "weights by formula, sums"},
                  {ErrorKind::absolute, std::abs(sum - fixture.number("weight_sum." + name))}, 1e-9);
  }
  return weights;
}

}  // namespace cm::test
