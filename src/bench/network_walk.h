// A U-Net's sizes by its plan: what its layers keep and compute, in the order of its forward pass.
#pragma once

#include "cm/bench/network_memory.h"
#include "cm/nn/unet_plan.h"

namespace cm {

NetworkSizes walked(const UNetPlan& plan, const UNetOptions& options, const ImageSpec& image,
                    Kernels kernels);

}  // namespace cm
