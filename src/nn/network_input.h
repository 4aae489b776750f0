// What every image network asks of its input.
#pragma once

#include "cm/nn/network.h"

namespace cm {

// Refuses (c10::Error) what is no batch at the image's size or another whose sides are multiples of `unit`,
// labels where there are no classes, and classes without labels.
void check_network_input(const ImageSpec& image, int64_t unit, const Tensor& x, const Tensor& labels);

}  // namespace cm
