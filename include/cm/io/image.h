// Images in files and in tensors. uint8 tensors are [C, H, W] or [N, C, H, W] with C = 1 (grey) or 3 (RGB).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

// How [−1, 1] becomes uint8: `nearest` rounds (x + 1) · 127.5 to even, `truncate` cuts it, as the official
// release does.
enum class Quantization { nearest, truncate };

// fp32 [−1, 1] (clamped) → uint8, same shape and device.
Tensor to_uint8(const Tensor& x, Quantization quantization = Quantization::nearest);

// uint8 → fp32 in [−1, 1], x / 127.5 − 1, same shape and device.
Tensor from_uint8(const Tensor& pixels);

// What decode_image reads, for messages.
constexpr const char* kImageFormats = "PNG, JPEG, WebP, BMP, TIFF, PNM or .npy";

// uint8 [C, H, W] of an image file's bytes; `channels` is 1 or 3. A picture whose EXIF orientation says so is
// turned upright; an alpha channel is dropped, 16 bits become 8. A .npy array is uint8 [H, W], [C, H, W] (as
// EDM2's reader takes it) or [H, W, C] with C = 1 or 3. InputError, with `where` in front, when the bytes are
// truncated, damaged or no image.
Tensor decode_image(const std::string& bytes, int64_t channels, const std::string& where);

// The same of a file. InputError with the path, when it is missing too.
Tensor read_image(const std::filesystem::path& path, int64_t channels);

// How many of a file's first bytes tell its format.
constexpr size_t kSignatureBytes = 12;

// What is wrong with a file of these first bytes as an image: that it is empty or of another format. "" when
// nothing is.
std::string format_mistake(std::string_view beginning);

// What the suffix of a file's name, in any case, says it is: an image that decode_image reads, one of another
// format, or none.
enum class ImageSuffix { readable, unreadable, none };
ImageSuffix image_suffix(std::string_view name);

// Encodes uint8 [C, H, W] as PNG.
std::string encode_png(const Tensor& pixels);

// Writes uint8 [C, H, W] as PNG, atomically.
void write_png(const std::filesystem::path& path, const Tensor& pixels);

// Tiles uint8 [N, C, H, W] into one [C, rows · (H + gap) + gap, columns · (W + gap) + gap] picture on a white
// ground, row by row; `columns` 0 makes it as square as it can. Images smaller than 32 pixels are enlarged by
// a whole factor (nearest neighbour), so that people can see them.
Tensor make_grid(const Tensor& pixels, int64_t columns = 0, int64_t gap = 2);

}  // namespace cm
