// A whole model of a fixture: its "unet", its noise levels and the weights PREFIXname.
#pragma once

#include "cm/training/model.h"
#include "support/fixture_network.h"
#include "support/fixture_sigma.h"

namespace cm::test {

inline Model fixture_model(const Fixture& fixture, const std::string& prefix,
                           Parameterization parameterization) {
  ModelOptions options;
  options.network = unet_options(fixture.config.at("unet"));
  options.image = image_spec(fixture.config.at("unet"));
  options.parameterization = parameterization;
  options.sigma = sigma_options(fixture.config);
  Model model(options, parity_device());
  copy_weights(with_prefix(fixture, prefix), model.network(), fixture.name + " " + prefix);
  return model;
}

}  // namespace cm::test
