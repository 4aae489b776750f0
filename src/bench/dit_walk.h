// The sizes of DiT's transformer.
#pragma once

#include "cm/bench/network_memory.h"

namespace cm {

// Its normalisation is LibTorch's, whatever `kernels` are.
NetworkSizes walked(const DitOptions& options, const ImageSpec& image, Kernels kernels);

}  // namespace cm
