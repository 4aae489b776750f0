// The "ADM" U-Net of Dhariwal & Nichol 2021 (arXiv 2105.05233) in the form that the official release of
// consistency models uses, with the release's parameter names, so that its weights load by name.
#pragma once

#include <memory>

#include "cm/nn/layers.h"
#include "cm/nn/unet.h"

namespace cm {

// `options` fit the image: make_unet has checked them. The network's time is 1000 times EDM's c_noise.
std::shared_ptr<Network> make_adm_unet(const UNetOptions& options, const ImageSpec& image,
                                       const Initializer& initializer);

}  // namespace cm
