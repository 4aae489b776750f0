#include "cm/data/resize.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

Tensor image(const std::vector<int>& values, int64_t height, int64_t width) {
  return torch::tensor(values, torch::kUInt8).view({1, height, width});
}

// (37 x² + 101 y + 13 x y) mod 256, the picture that Pillow was given.
Tensor pattern(int64_t height, int64_t width) {
  const Tensor y = torch::arange(height).unsqueeze(1);
  const Tensor x = torch::arange(width).unsqueeze(0);
  return (37 * x * x + 101 * y + 13 * x * y).remainder(256).to(torch::kUInt8).unsqueeze(0);
}

TEST(Resize, BoxAveragesAndRoundsHalvesUp) {
  const Tensor pixels = image({10, 20, 30, 41,  //
                               10, 20, 31, 41},
                              2, 4);
  // Rows first: 15 and 35.5 → 36, 15 and 36; then columns.
  EXPECT_TRUE(torch::equal(resize(pixels, 1, 2, ResizeFilter::box), image({15, 36}, 1, 2)));
}

TEST(Resize, ToItsOwnSizeIsTheImage) {
  const Tensor pixels = pattern(5, 7);
  EXPECT_TRUE(torch::equal(resize(pixels, 5, 7, ResizeFilter::bicubic), pixels));
}

TEST(Resize, KeepsAConstantAndEveryChannelApart) {
  const Tensor pixels = torch::tensor({7, 200, 255}, torch::kUInt8).view({3, 1, 1}).expand({3, 11, 6});
  for (const auto filter : {ResizeFilter::box, ResizeFilter::bicubic}) {
    const Tensor resized = resize(pixels, 4, 9, filter);
    EXPECT_TRUE(torch::equal(resized, pixels.slice(1, 0, 1).slice(2, 0, 1).expand({3, 4, 9})));
  }
}

TEST(Resize, RefusesOtherTensors) {
  EXPECT_THROW(resize(torch::zeros({1, 2, 2}, torch::kFloat64), 1, 1, ResizeFilter::box), c10::Error);
  EXPECT_THROW(resize(pattern(2, 2), 0, 1, ResizeFilter::box), c10::Error);
}

TEST(CenterCrop, CutsTheMiddleOfAWideImage) {
  const Tensor pixels = image({1, 2, 3, 4,  //
                               5, 6, 7, 8},
                              2, 4);
  EXPECT_TRUE(torch::equal(center_crop(pixels, 2), image({2, 3, 6, 7}, 2, 2)));
}

TEST(CenterCrop, HalvesByAveragingFirst) {
  const Tensor small = image({1, 2, 3, 4,  //
                              5, 6, 7, 8},
                             2, 4);
  const Tensor doubled = small.repeat_interleave(2, 1).repeat_interleave(2, 2);
  EXPECT_TRUE(torch::equal(center_crop(doubled, 2), image({2, 3, 6, 7}, 2, 2)));
}

// Pillow 13's results of guided-diffusion's center_crop_arr: halving of odd sides, shrinking and enlarging by
// bicubic.
TEST(CenterCrop, EqualsPillow) {
  EXPECT_TRUE(torch::equal(center_crop(pattern(7, 11), 3),  //
                           image({116, 137, 78, 129, 111, 126, 79, 156, 111}, 3, 3)));
  EXPECT_TRUE(torch::equal(
      center_crop(pattern(10, 7), 4),
      image({106, 100, 153, 170, 144, 123, 121, 67, 174, 82, 132, 152, 130, 90, 112, 86}, 4, 4)));
  EXPECT_TRUE(
      torch::equal(center_crop(pattern(3, 5), 4),
                   image({6, 66, 155, 94, 95, 105, 58, 143, 127, 88, 57, 150, 82, 24, 153, 111}, 4, 4)));
  EXPECT_TRUE(torch::equal(
      center_crop(pattern(23, 31), 4),
      image({121, 125, 139, 128, 121, 136, 131, 149, 131, 136, 121, 127, 139, 141, 133, 130}, 4, 4)));
}

}  // namespace
}  // namespace cm
