// Resizing and cropping of uint8 images, equal bit for bit to Pillow's: the published results were trained on
// what Pillow makes of an image, and OpenCV's and LibTorch's filters differ from it.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

// Pillow's Image.resize filters: `box` averages, `bicubic` is Keys's kernel with a = −1/2; both widen with
// the scale when shrinking.
enum class ResizeFilter { box, bicubic };

// [C, H, W] → [C, height, width], uint8 or fp32; sizes ≥ 1. Along the width first. uint8 is rounded after
// each direction and kept in its range; fp32 is neither (Pillow's mode F).
Tensor resize(const Tensor& pixels, int64_t height, int64_t width, ResizeFilter filter);

// uint8 [C, H, W] → [C, size, size], perhaps a view: halved by the box filter while the shorter side is at
// least 2 · size, brought to `size` on the shorter side by the bicubic filter, cropped in the centre
// (`center_crop_arr` of guided-diffusion, Dhariwal and Nichol 2021, and of the consistency models' release).
Tensor center_crop(const Tensor& pixels, int64_t size);

}  // namespace cm
