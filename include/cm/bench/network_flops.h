// The arithmetic of a network, from its sizes.
#pragma once

#include "cm/nn/unet.h"

namespace cm {

// Floating-point operations (a multiply-add is two) of one forward pass of the ADM U-Net for one image, in
// convolutions, linear layers and attention's two products; the rest is small beside them.
double forward_flops(const UNetOptions& options, const ImageSpec& image);

}  // namespace cm
