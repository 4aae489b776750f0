// Draws that were made elsewhere, for comparing samplers with other implementations'.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "cm/io/safetensors.h"
#include "cm/training/sampling.h"

namespace cm {

// A safetensors file with `x_T` [N, C, H, W], where the walk starts (already times its first σ), and
// `noise.0`, `noise.1`, …, unit normal draws of the same shape: noise.i is that of step i. More samples and
// more draws than needed are fine.
class Replay {
 public:
  // For `count` samples. InputError with the path when the file is missing, has no x_T, or a tensor has
  // another shape.
  Replay(const std::filesystem::path& path, const ImageSpec& image, int64_t count);

  // The draws of samples first … first + count − 1. A draw that the file lacks is an InputError when it is
  // asked for.
  SampleNoise batch(int64_t first, int64_t count) const;

 private:
  const Tensor& find(const std::string& name) const;

  std::filesystem::path path_;
  SafetensorsFile file_;
  std::vector<int64_t> shape_;
};

}  // namespace cm
