// A network with EDM's or EDM2's weights against their code.
#pragma once

#include "cm/nn/network.h"
#include "support/edm_order.h"
#include "support/gradient_parity.h"
#include "support/parity_device.h"

namespace cm::test {

// Output, gradient of the input and of every parameter, for L = Σ output · g.
inline void expect_edm_network(const Fixture& fixture, Network& network, const NamedTensors& weights) {
  network.to(parity_device());
  copy_weights(from_edm_order(weights), network, fixture.name);
  const Tensor x = fixture["x"].clone().requires_grad_(true);
  const Tensor output = network.forward(x, {fixture["noise_labels"], fixture.labels()});
  expect_parity({fixture.name, "output"}, relative(output, fixture["output"]), 2e-5);

  (output * fixture["g"]).sum().backward();
  expect_parity({fixture.name, "gradient of x"}, relative(x.grad(), fixture["grad_x"]), 1e-4);
  expect_gradients(fixture, "", to_edm_order(gradients_of(network)));
}

}  // namespace cm::test
