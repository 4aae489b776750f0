#include "cm/io/image.h"

#include <opencv2/imgcodecs.hpp>

#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::string encoded(const std::string& suffix, const std::vector<int>& parameters = {}) {
  cv::Mat picture(8, 8, CV_8UC3);
  for (int i = 0; i < 192; ++i) picture.data[i] = static_cast<uchar>(i);
  std::vector<uchar> bytes;
  cv::imencode(suffix, picture, bytes, parameters);
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> image_seeds() {
  return {encoded(".png"),  encoded(".jpg"),     encoded(".jpg", {cv::IMWRITE_JPEG_PROGRESSIVE, 1}),
          encoded(".webp"), encoded(".bmp"),     encoded(".tiff"),
          encoded(".ppm"),  "P2 2 1 255\n3 4\n", encode_png(torch::ones({1, 3, 5}, torch::kUInt8))};
}

void read_image_bytes(const std::string& input) {
  for (const int64_t channels : {1, 3}) {
    const Tensor pixels = decode_image(input, channels, "input");
    require(pixels.dim() == 3 && pixels.size(0) == channels && pixels.numel() > 0,
            "a picture has pixels of the channels that were asked for");
  }
}

const Listed kImage({"image", image_seeds, read_image_bytes});

}  // namespace
}  // namespace cm::fuzz
