// Making many images and writing them, as cm-sample and cm-edit do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "cm/base/tensor.h"
#include "cm/io/image.h"
#include "cm/io/json.h"
#include "cm/io/safetensors.h"
#include "cm/training/sampling.h"

namespace cm {

inline constexpr int64_t kGridImages = 100;  // in the picture of many, the first ones

struct ImageOutput {
  std::filesystem::path folder;
  std::string image = "sample";  // images.npz, images.safetensors, image-000000.png
  bool write_float = false;
  bool write_pngs = false;
  Quantization quantization = Quantization::nearest;
};

// InputError when the folder is a file, or holds such an .npz already and `force` is not given.
void check_output(const ImageOutput& output, bool force);

// Into the folder, which is made: the .npz (arr_0 uint8 [N, H, W, C]; arr_1 int64 [N], the labels, where
// defined) of the images `pixels`, uint8 [N, C, H, W]; grid.png, the picture `grid` (uint8 [C, H, W]); if
// asked for, one PNG an image.
void write_pixels(const ImageOutput& output, const Tensor& pixels, const Tensor& labels, const Tensor& grid);

// The same of the images `x`, fp32 [N, C, H, W]; if asked for, also x and the tensors `beside` as they are,
// in safetensors.
void write_images(const ImageOutput& output, const Tensor& x, const Tensor& labels, const Tensor& grid,
                  const NamedTensors& beside = {});

// How images are made: sampler, time points, guidance, evaluations each.
Json sampler_record(const SamplerOptions& sampler);

// How images were made, for the record beside them.
Json walk_record(const ResolvedWeights& weights, const SamplerOptions& sampler, int64_t count, int64_t batch,
                 double seconds);

}  // namespace cm
