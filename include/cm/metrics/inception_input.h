// What Inception is shown of an image. The implementations of FID bring images to its 299 × 299 pixels by
// different rules, and their distances differ by more than many papers' improvements (Parmar et al. 2022,
// arXiv 2104.11222), so the rule belongs to the number.
#pragma once

#include <array>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

// tensorflow  as TensorFlow's own graph, the official release's evaluator and torch-fidelity: bilinear,
//             output i at i · scale of the input (no half-pixel centres), no antialiasing; (v − 128) / 128
// pytorch     as pytorch-fid: bilinear with half-pixel centres, no antialiasing; v / 127.5 − 1
// clean       as clean-fid: Pillow's antialiased bicubic filter on floating-point numbers, then clamped to
//             [0, 255]; (v − 128) / 128
enum class InceptionResize { tensorflow, pytorch, clean };

// By what name the rule stands among the details of the features (cm/metrics/features.h).
inline constexpr auto kResizeDetail = "resize";

// uint8 [N, C, H, W], C = 3, or C = 1 for grey images, whose three colours are equal → fp32 [N, 3, 299, 299]
// in [−1, 1] on the same device.
Tensor inception_input(const Tensor& pixels, InceptionResize rule);

}  // namespace cm
