// The images of one side of a comparison: generated samples, or the reference.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cm/base/tensor.h"
#include "cm/io/npz.h"

namespace cm {

struct ImageShape {
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;

  int64_t values() const { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

// "3×32×32".
std::string to_string(const ImageShape& shape);

// A set without its pixels: what can be checked before they are there.
struct SetHeader {
  std::string path;  // the file or folder that was read, or the weights that make the images
  int64_t count = 0;
  ImageShape shape;
  std::optional<Tensor> labels;  // int64 [count]
};

struct ImageSet {
  std::string path;              // the file or folder that was read
  Tensor pixels;                 // uint8 [N, C, H, W], N ≥ 1
  std::optional<Tensor> labels;  // int64 [N]

  int64_t size() const { return pixels.size(0); }
  ImageShape shape() const { return {pixels.size(1), pixels.size(2), pixels.size(3)}; }
  SetHeader header() const { return {path, size(), shape(), labels}; }
};

// Reads a whole set, whatever open_stored_images (cm/data/pictures.h) takes, with its labels if there.
// Image files must have one size, and count as grey if every one of them is, otherwise as RGB. InputError,
// with the path, for anything else.
ImageSet load_images(const std::filesystem::path& path);

// The set of an .npz whose arrays were read from `path`. The same errors.
ImageSet images_in(const NpzArrays& arrays, const std::filesystem::path& path);

}  // namespace cm
