#include "cm/io/image.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/npy.h"
#include "image_damage.h"
#include "image_size.h"
#include "npy_header.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

constexpr int64_t kSmallestInGrid = 32;
constexpr uint8_t kWhite = 255;
constexpr uint64_t kMostPixels = 1ULL << 28;  // 0.8 GB in colour, which may come from a few bytes
constexpr std::array kReadable = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp",
                                  ".dib", ".tif", ".tiff", ".pbm", ".pgm",  ".ppm", ".pnm",  ".npy"};
constexpr std::array kUnreadable = {".gif", ".apng", ".avif", ".heic", ".heif", ".jxl", ".jp2",
                                    ".j2k", ".ico",  ".tga",  ".psd",  ".svg",  ".exr", ".hdr",
                                    ".dds", ".qoi",  ".dng",  ".cr2",  ".nef",  ".arw"};
// How the readable ones begin, but for WebP.
constexpr std::array kSignatures = {"\x89PNG\r\n"sv, "\xff\xd8\xff"sv, "BM"sv, "II*\0"sv,
                                    "MM\0*"sv,       "P1"sv,           "P2"sv, "P3"sv,
                                    "P4"sv,          "P5"sv,           "P6"sv, kNpyMagic};

// The decoded picture, or an empty one. OpenCV throws for pictures beyond its size limits.
cv::Mat decode(const std::string& bytes, int64_t channels) {
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
  try {
    return cv::imdecode(encoded, channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR);
  } catch (const cv::Exception&) {
    return {};
  }
}

void check_pixels(const Tensor& pixels, int64_t rank) {
  TORCH_CHECK(pixels.scalar_type() == torch::kUInt8 && pixels.dim() == rank, "expected uint8 pixels of rank ",
              rank, ", got ", pixels.dtype(), " ", pixels.sizes());
  const int64_t channels = pixels.size(rank - 3);
  TORCH_CHECK(channels == 1 || channels == 3, "expected 1 or 3 channels, got ", channels);
}

// Red, green, blue, or grey.
Tensor tensor_of(const cv::Mat& picture) {
  const Tensor view =
      torch::from_blob(picture.data, {picture.rows, picture.cols, picture.channels()}, torch::kUInt8);
  return view.permute({2, 0, 1}).clone(torch::MemoryFormat::Contiguous);
}

// [H, W, C] of an array as decode_image says; undefined for another one.
Tensor interleaved(const Tensor& array) {
  const auto is_depth = [](int64_t size) { return size == 1 || size == 3; };
  if (array.scalar_type() != torch::kUInt8 || array.numel() == 0) return {};
  if (array.dim() == 2) return array.unsqueeze(2);
  if (array.dim() == 3 && is_depth(array.size(0))) return array.permute({1, 2, 0}).contiguous();
  return array.dim() == 3 && is_depth(array.size(2)) ? array : Tensor();
}

Tensor decode_npy(std::string_view bytes, int64_t channels, const std::string& where) {
  const Tensor array = parse_npy(bytes, where);
  const Tensor image = interleaved(array);
  if (!image.defined()) {
    throw InputError(concat(where, ": is ", array.scalar_type(), ' ', array.sizes(),
                            "; expected an image, uint8 [H, W], [C, H, W] or [H, W, C] with C = 1 or 3 "
                            "(latents are no images: they are data.kind latents); convert or remove it"));
  }
  cv::Mat picture(static_cast<int>(image.size(0)), static_cast<int>(image.size(1)),
                  image.size(2) == 1 ? CV_8UC1 : CV_8UC3, image.data_ptr());
  if (picture.channels() != channels) {
    cv::cvtColor(picture, picture, channels == 1 ? cv::COLOR_RGB2GRAY : cv::COLOR_GRAY2RGB);
  }
  return tensor_of(picture);
}

bool is_one_of(const std::string& suffix, const auto& suffixes) {
  return std::ranges::find(suffixes, suffix) != suffixes.end();
}

}  // namespace

Tensor to_uint8(const Tensor& x, Quantization quantization) {
  const Tensor scaled = ((x + 1) * 127.5).clamp(0, 255);
  switch (quantization) {
    case Quantization::nearest:
      return scaled.round().to(torch::kUInt8);
    case Quantization::truncate:
      return scaled.to(torch::kUInt8);
  }
  return {};
}

Tensor from_uint8(const Tensor& pixels) {
  return pixels.to(torch::kFloat32) / 127.5 - 1;
}

Tensor decode_image(const std::string& bytes, int64_t channels, const std::string& where) {
  TORCH_CHECK(channels == 1 || channels == 3, "an image is read with 1 or 3 channels, not ", channels);
  if (bytes.empty()) throw InputError(concat(where, ": is empty; expected an image"));
  if (bytes.starts_with(kNpyMagic)) return decode_npy(bytes, channels, where);
  if (const std::string damage = damage_of_image(bytes); !damage.empty()) {
    throw InputError(concat(where, ": is ", damage, "; restore or remove it"));
  }
  if (const uint64_t pixels = pixels_of_image(bytes); pixels > kMostPixels) {
    throw InputError(concat(where, ": says that it has ", human_count(static_cast<double>(pixels)),
                            " pixels; at most ", human_count(static_cast<double>(kMostPixels)),
                            " are read; make it smaller, or remove it"));
  }
  // OpenCV knows more formats, which are not looked at here.
  cv::Mat picture = format_mistake(bytes).empty() ? decode(bytes, channels) : cv::Mat();
  if (picture.empty()) {
    throw InputError(concat(where, ": not a readable image; expected ", kImageFormats));
  }
  if (channels == 3) cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
  return tensor_of(picture);
}

Tensor read_image(const fs::path& path, int64_t channels) {
  return decode_image(read_file(path), channels, path.string());
}

std::string format_mistake(std::string_view beginning) {
  if (beginning.empty()) return "empty file; restore or remove it";
  for (const std::string_view signature : kSignatures) {
    if (beginning.starts_with(signature)) return "";
  }
  if (beginning.starts_with("RIFF") &&
      beginning.substr(std::min<size_t>(8, beginning.size())).starts_with("WEBP")) {
    return "";
  }
  return "no image of a known format; convert it to PNG or JPEG, or remove it";
}

ImageSuffix image_suffix(std::string_view name) {
  std::string suffix = fs::path(name).extension().string();
  std::ranges::transform(suffix, suffix.begin(), [](unsigned char c) { return std::tolower(c); });
  if (is_one_of(suffix, kReadable)) return ImageSuffix::readable;
  return is_one_of(suffix, kUnreadable) ? ImageSuffix::unreadable : ImageSuffix::none;
}

std::string encode_png(const Tensor& pixels) {
  check_pixels(pixels, 3);
  const Tensor interleaved = pixels.cpu().permute({1, 2, 0}).contiguous();
  const int type = pixels.size(0) == 1 ? CV_8UC1 : CV_8UC3;
  cv::Mat picture(static_cast<int>(pixels.size(1)), static_cast<int>(pixels.size(2)), type,
                  interleaved.data_ptr());
  cv::Mat reordered = picture;
  if (type == CV_8UC3) cv::cvtColor(picture, reordered, cv::COLOR_RGB2BGR);
  std::vector<uchar> png;
  if (!cv::imencode(".png", reordered, png)) throw Error("OpenCV could not encode a PNG");
  return {png.begin(), png.end()};
}

void write_png(const fs::path& path, const Tensor& pixels) {
  write_file_atomically(path, encode_png(pixels));
}

Tensor make_grid(const Tensor& pixels, int64_t columns, int64_t gap) {
  check_pixels(pixels, 4);
  const int64_t count = pixels.size(0);
  TORCH_CHECK(pixels.numel() > 0 && columns >= 0 && gap >= 0, "a grid needs images, and no negative sizes");
  if (columns == 0) columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int64_t rows = (count + columns - 1) / columns;

  const int64_t smaller_side = std::min(pixels.size(2), pixels.size(3));
  const int64_t factor = (std::max(kSmallestInGrid, smaller_side) + smaller_side - 1) / smaller_side;
  const Tensor enlarged = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3);
  const int64_t height = enlarged.size(2);
  const int64_t width = enlarged.size(3);

  Tensor grid = torch::full({pixels.size(1), rows * (height + gap) + gap, columns * (width + gap) + gap},
                            kWhite, pixels.options());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t top = gap + i / columns * (height + gap);
    const int64_t left = gap + i % columns * (width + gap);
    grid.narrow(1, top, height).narrow(2, left, width).copy_(enlarged[i]);
  }
  return grid;
}

}  // namespace cm
