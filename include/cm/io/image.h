// Images in files and in tensors. uint8 tensors are [C, H, W] or [N, C, H, W] with C = 1 (grey) or 3 (RGB).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

// How [−1, 1] becomes uint8: `nearest` rounds (x + 1) · 127.5 to even, `truncate` cuts it, as the official
// release does.
enum class Quantization { nearest, truncate };
template <>
struct EnumNames<Quantization> {
  static constexpr std::array names = {EnumName{Quantization::nearest, "nearest"},
                                       EnumName{Quantization::truncate, "truncate"}};
};

// fp32 [−1, 1] (clamped) → uint8, same shape and device.
Tensor to_uint8(const Tensor& x, Quantization quantization = Quantization::nearest);

// uint8 → fp32 in [−1, 1], x / 127.5 − 1, same shape and device.
Tensor from_uint8(const Tensor& pixels);

// Reads PNG, JPEG, WebP, BMP or TIFF as uint8 [C, H, W]; `channels` is 1 or 3. InputError with the path when
// it is missing, truncated, damaged or no image.
Tensor read_image(const std::filesystem::path& path, int64_t channels);

// Encodes uint8 [C, H, W] as PNG.
std::string encode_png(const Tensor& pixels);

// Writes uint8 [C, H, W] as PNG, atomically.
void write_png(const std::filesystem::path& path, const Tensor& pixels);

// Tiles uint8 [N, C, H, W] into one [C, rows · (H + gap) + gap, columns · (W + gap) + gap] picture on a white
// ground, row by row; `columns` 0 makes it as square as it can. Images smaller than 32 pixels are enlarged by
// a whole factor (nearest neighbour), so that people can see them.
Tensor make_grid(const Tensor& pixels, int64_t columns = 0, int64_t gap = 2);

// The paths of the image files (by extension, any case) directly in `folder`, sorted by name.
std::vector<std::filesystem::path> image_files(const std::filesystem::path& folder);

}  // namespace cm
