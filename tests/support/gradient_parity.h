// The gradients of a network against a fixture's: grad.NAME whole, or graddigest.NAME, the four numbers
// Σ g, ‖g‖, Σ g_i cos(0.7 i) and max |g|.
#pragma once

#include "cm/base/text.h"
#include "support/parity.h"

namespace cm::test {

// The largest gradient entry of the whole network: the scale on which all are compared, because some true
// gradients are 0 and the stored ones rounding noise.
inline double gradient_scale(const Fixture& fixture, const std::string& prefix) {
  double scale = 0;
  for (const auto& [name, tensor] : fixture.tensors) {
    if (name.starts_with(prefix + "grad.")) scale = std::max(scale, largest(tensor));
    if (name.starts_with(prefix + "graddigest.")) scale = std::max(scale, tensor[3].item<double>());
  }
  return scale;
}

// The four numbers of a tensor on that scale.
inline void expect_digest(const ParityQuantity& quantity, const Tensor& tensor, const Tensor& digest,
                          double scale) {
  const Tensor g = as_host_doubles(tensor).flatten();
  const Tensor cosines = (0.7 * torch::arange(g.numel(), torch::kFloat64)).cos();
  const auto expect = [&](const char* name, double ours, int64_t i, double unit, double tolerance) {
    const double error = std::abs(ours - digest[i].item<double>()) / unit;
    expect_parity({quantity.in_case, concat(quantity.name, ", ", name)}, {ErrorKind::relative, error},
                  tolerance);
  };
  const double sum_scale = scale + digest[1].item<double>();
  expect("sums", g.sum().item<double>(), 0, sum_scale, 5e-4);
  expect("norms", g.norm().item<double>(), 1, scale, 1e-4);
  expect("sums", g.dot(cosines).item<double>(), 2, sum_scale, 5e-4);
  expect("largest entries", largest(g), 3, scale, 1e-4);
}

// `gradients` against those of a part of the fixture, PART.grad.NAME, or of the whole (""), grad.NAME.
inline void expect_gradients(const Fixture& fixture, const std::string& part, const NamedTensors& gradients) {
  const std::string prefix = part.empty() ? "" : part + ".";
  const double scale = gradient_scale(fixture, prefix);
  for (const auto& [name, gradient] : gradients) {
    SCOPED_TRACE(concat("gradient of ", name));
    const std::string whole = concat(prefix, "grad.", name);
    if (fixture.has(whole)) {
      const Tensor& theirs = fixture[whole];
      expect_parity({fixture.part(part), "gradients"},
                    {ErrorKind::relative, largest_difference(gradient, theirs) / scale}, 1e-4);
    } else {
      expect_digest({fixture.part(part), "gradients"}, gradient, fixture[concat(prefix, "graddigest.", name)],
                    scale);
    }
  }
}

// What a backward pass left in `network`.
inline NamedTensors gradients_of(const torch::nn::Module& network) {
  NamedTensors gradients;
  for (const auto& parameter : network.named_parameters())
    gradients[parameter.key()] = parameter.value().grad();
  return gradients;
}

inline void expect_gradients(const Fixture& fixture, const std::string& part,
                             const torch::nn::Module& network) {
  expect_gradients(fixture, part, gradients_of(network));
}

}  // namespace cm::test
