// DDPM++ and NCSN++ of Song et al. 2021 (arXiv 2011.13456) in the form that EDM (Karras et al. 2022, arXiv
// 2206.00364, Appendix F.1) uses, with EDM's parameter names.
#pragma once

#include <memory>

#include "cm/nn/layers.h"
#include "cm/nn/unet.h"

namespace cm {

// `options` fit the image: make_unet has checked them. The network's time is EDM's c_noise, ¼ ln σ.
std::shared_ptr<Network> make_song_unet(const UNetOptions& options, const ImageSpec& image,
                                        const Initializer& initializer);

}  // namespace cm
