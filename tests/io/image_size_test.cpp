#include "src/io/image_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/io/image.h"
#include "support/message_of.h"

namespace cm {
namespace {

using testing::HasSubstr;
using namespace std::string_literals;

// The beginnings of files that say they are 50,000 × 6,000.
const std::vector<std::pair<const char*, std::string>> kLargePictures = {
    {"PNG", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xc3\x50\0\0\x17\x70"s},
    {"JPEG",
     "\xff\xd8\xff\xe0\0\4ab\xff\xc4\0\x07\0\xff\xff\xff\xff\xff\xff\xc2\0\x0a\x08\x17\x70\xc3\x50\1\0\0"s},
    {"WebP", "RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x4f\xc3\0\x6f\x17\0"s},
    {"BMP", "BM............\x28\0\0\0\x50\xc3\0\0\x70\x17\0\0"s},
    {"BMP from the top down", "BM............\x28\0\0\0\x50\xc3\0\0\x90\xe8\xff\xff"s},
    {"BMP of OS/2", "BM............\x0c\0\0\0\x50\xc3\x70\x17"s},
    {"TIFF", "II*\0\x0a\0\0\0..\2\0\1\1\4\0\1\0\0\0\x70\x17\0\0\0\1\3\0\1\0\0\0\x50\xc3.."s},
    {"TIFF, big-endian", "MM\0*\0\0\0\x08\0\2\1\0\0\3\0\0\0\1\xc3\x50..\1\1\0\4\0\0\0\1\0\0\x17\x70"s},
    {"PNM", "P6\n# 3 4\n50000\t 6000 255\n"s}};

TEST(ImageSize, IsTheProductOfTheSides) {
  for (const auto& [format, bytes] : kLargePictures)
    EXPECT_EQ(pixels_of_image(bytes), 300'000'000U) << format;
}

TEST(ImageSize, OfAnEncodedPictureIsItsOwn) {
  EXPECT_EQ(pixels_of_image(encode_png(torch::zeros({3, 5, 7}, torch::kUInt8))), 35U);
}

TEST(ImageSize, WhatSaysNoneIsZero) {
  for (const auto& [format, bytes] : kLargePictures) {
    for (size_t length = 0; length < 12; ++length) pixels_of_image(bytes.substr(0, length));
  }
  EXPECT_EQ(pixels_of_image(""), 0U);
  EXPECT_EQ(pixels_of_image("P"), 0U);
  EXPECT_EQ(pixels_of_image("RIFF\0\0\0\0WEBPVP8 ..................."s), 0U);
  EXPECT_EQ(pixels_of_image("GIF89a\x50\xc3\x70\x17"), 0U);
}

TEST(ImageSize, LargePicturesAreRefusedBeforeTheyAreDecoded) {
  const std::string bytes = "P5 50000 6000 255\n";
  EXPECT_EQ(test::message_of<InputError>([&] { decode_image(bytes, 1, "x.pgm"); }),
            "x.pgm: says that it has 300 M pixels; at most 268 M are read; make it smaller, or remove it");
  EXPECT_EQ(decode_image("P5 2 1 255\nab", 1, "x.pgm").numel(), 2);
}

// A format that OpenCV reads and we do not name.
TEST(ImageSize, OtherFormatsAreNotDecoded) {
  const std::string sun_raster =
      "\x59\xa6\x6a\x95\0\0\0\1\0\0\0\1\0\0\0\x8\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0abcd"s;
  EXPECT_THAT(test::message_of<InputError>([&] { decode_image(sun_raster, 1, "x"); }),
              HasSubstr("x: not a readable image; expected PNG, JPEG, WebP"));
}

}  // namespace
}  // namespace cm
