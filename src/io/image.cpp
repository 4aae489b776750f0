#include "cm/io/image.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "image_damage.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSmallestInGrid = 32;
constexpr uint8_t kWhite = 255;
constexpr std::array kExtensions = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"};

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

bool is_image_file(const fs::directory_entry& entry) {
  std::string extension = entry.path().extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return entry.is_regular_file() &&
         std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
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

Tensor read_image(const fs::path& path, int64_t channels) {
  TORCH_CHECK(channels == 1 || channels == 3, "an image is read with 1 or 3 channels, not ", channels);
  const std::string bytes = read_file(path);
  if (bytes.empty()) throw InputError(concat(path.string(), ": is empty; expected an image"));
  if (const std::string damage = damage_of_image(bytes); !damage.empty()) {
    throw InputError(concat(path.string(), ": is ", damage, "; restore or remove it"));
  }
  cv::Mat picture = decode(bytes, channels);
  if (picture.empty()) {
    throw InputError(concat(path.string(), ": not a readable image; expected PNG, JPEG, WebP, BMP or TIFF"));
  }
  if (channels == 3) cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
  const Tensor view = torch::from_blob(picture.data, {picture.rows, picture.cols, channels}, torch::kUInt8);
  return view.permute({2, 0, 1}).clone(torch::MemoryFormat::Contiguous);
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

std::vector<fs::path> image_files(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    if (is_image_file(entry)) paths.push_back(entry.path());
  }
  if (failed) throw InputError(concat(folder.string(), ": is not a readable folder: ", failed.message()));
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace cm
