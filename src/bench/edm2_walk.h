// The sizes of EDM2's network by its plan, whose blocks are its own.
#pragma once

#include "cm/bench/network_memory.h"
#include "cm/nn/unet_plan.h"

namespace cm {

// Normalisation by `kernels` has no part in it.
NetworkSizes walked(const UNetPlan& plan, const Edm2Options& options, const ImageSpec& image,
                    Kernels kernels);

}  // namespace cm
