// The memory of LPIPS as a distance, by the size of the images.
#pragma once

#include "cm/bench/network_memory.h"

namespace cm {

// Two batches of images of 3 channels and this side, one of them with a gradient.
NetworkSizes lpips_sizes(int64_t image_size);

}  // namespace cm
