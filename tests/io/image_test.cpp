#include "cm/io/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/npz.h"
#include "cm/io/zip_archive.h"
#include "support/message_of.h"
#include "support/shipped_data.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using namespace std::string_literals;
using test::message_of;
using test::TemporaryFolder;
using ::testing::HasSubstr;

Tensor gradient(int64_t channels, int64_t height, int64_t width) {
  return torch::arange(channels * height * width)
      .remainder(256)
      .to(torch::kUInt8)
      .reshape({channels, height, width});
}

TEST(Uint8, NearestRoundsTiesToEven) {
  int64_t ties = 0;
  for (int64_t n = 0; n < 255; ++n) {
    const auto x = static_cast<float>((2.0 * static_cast<double>(n) + 1) / 255 - 1);
    if ((x + 1) * 127.5F != static_cast<float>(n) + 0.5F) continue;  // fp32 misses this tie
    ++ties;
    EXPECT_EQ(to_uint8(torch::tensor(x)).item<int64_t>(), n + n % 2);
  }
  EXPECT_GT(ties, 50);
}

TEST(Uint8, TruncateCutsLikeTheRelease) {
  const Tensor x = torch::tensor({-1.0F, 0.0F, 0.999F, 1.0F});
  EXPECT_TRUE(
      torch::equal(to_uint8(x, Quantization::truncate), torch::tensor({0, 127, 254, 255}, torch::kUInt8)));
}

TEST(Uint8, ValuesOutsideAreClamped) {
  const Tensor x = torch::tensor({-3.0F, 1.5F, 1e30F});
  for (const auto quantization : {Quantization::nearest, Quantization::truncate}) {
    EXPECT_TRUE(torch::equal(to_uint8(x, quantization), torch::tensor({0, 255, 255}, torch::kUInt8)));
  }
}

TEST(Uint8, EveryPixelValueSurvivesTheRoundTrip) {
  const Tensor all = gradient(1, 16, 16);
  const Tensor x = from_uint8(all);
  EXPECT_EQ(x.scalar_type(), torch::kFloat32);
  EXPECT_EQ(x.min().item<float>(), -1);
  EXPECT_EQ(x.max().item<float>(), 1);
  EXPECT_TRUE(torch::equal(to_uint8(x), all));
}

TEST(Png, GreyAndColourSurviveTheRoundTrip) {
  const TemporaryFolder folder;
  for (const int64_t channels : {1, 3}) {
    const Tensor pixels = gradient(channels, 5, 7);
    write_png(folder / "x.png", pixels);
    EXPECT_TRUE(torch::equal(read_image(folder / "x.png", channels), pixels)) << channels;
  }
}

TEST(Png, ChannelsStandInTheOrderRedGreenBlue) {
  // A 1 × 1 red pixel as any other program writes it: 8-bit RGB, deflated 00 FF 00 00.
  const TemporaryFolder folder;
  const std::string red_png(
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9c"
      "c\xf8\xcf\xc0\0\0\3\1\1\0\xc9\xfe\x92\xef\0\0\0\0IEND\xae"
      "B`\x82",
      69);
  write_file_atomically(folder / "red.png", red_png);
  const Tensor red = torch::tensor({255, 0, 0}, torch::kUInt8).reshape({3, 1, 1});
  EXPECT_TRUE(torch::equal(read_image(folder / "red.png", 3), red));
  EXPECT_EQ(read_image(folder / "red.png", 1).item<int64_t>(), 76);  // 0.299 · 255
}

TEST(Png, StridedTensorsAreWrittenAsTheyLook) {
  const TemporaryFolder folder;
  const Tensor turned = gradient(3, 4, 6).transpose(1, 2);
  write_png(folder / "x.png", turned);
  EXPECT_TRUE(torch::equal(read_image(folder / "x.png", 3), turned));
}

TEST(Png, OtherTensorsAreRefused) {
  EXPECT_THAT(message_of<c10::Error>([] {
                encode_png(torch::zeros({3, 2, 2}));
              }),
              HasSubstr("expected uint8 pixels"));
  EXPECT_THAT(message_of<c10::Error>([] { encode_png(gradient(2, 2, 2)); }),
              HasSubstr("1 or 3 channels, got 2"));
}

TEST(ReadImage, RefusesWhatIsNoImage) {
  const TemporaryFolder folder;
  const std::string path = (folder / "x.png").string();
  EXPECT_EQ(message_of<InputError>([&] { read_image(path, 3); }), path + ": no such file");
  write_file_atomically(path, "");
  EXPECT_EQ(message_of<InputError>([&] { read_image(path, 3); }), path + ": is empty; expected an image");
  write_file_atomically(path, "not an image at all");
  EXPECT_EQ(message_of<InputError>([&] { read_image(path, 3); }),
            path + ": not a readable image; expected " + kImageFormats);
}

// The decoders would print to stderr, and draw over what is missing of a JPEG.
TEST(ReadImage, RefusesWhatIsCutOffOrDamaged) {
  const TemporaryFolder folder;
  const std::string path = (folder / "x").string();
  const auto complaint = [&](const std::string& bytes) {
    write_file_atomically(path, bytes);
    return message_of<InputError>([&] { read_image(path, 3); });
  };
  const std::string png = encode_png(gradient(3, 6, 5));
  for (const size_t length : {size_t{8}, size_t{40}, png.size() - 12, png.size() - 1}) {
    EXPECT_EQ(complaint(png.substr(0, length)), path + ": is a truncated PNG; restore or remove it")
        << length;
  }
  std::string damaged = png;
  damaged[damaged.size() - 20] ^= 1;
  EXPECT_EQ(complaint(damaged), path + ": is a damaged PNG; restore or remove it");
  write_file_atomically(path, png + "anything after the end");
  EXPECT_TRUE(torch::equal(read_image(path, 3), gradient(3, 6, 5)));
}

// Phones append clips and previews to a photograph, and put thumbnails into it.
TEST(ReadImage, AJpegEndsWhereItsOwnImageDoes) {
  const TemporaryFolder folder;
  const std::string path = (folder / "x.jpg").string();
  const std::string jpeg = read_file(test::kPhotographs + "/china.jpg");
  const Tensor pixels = read_image(test::kPhotographs + "/china.jpg", 3);
  const std::string segment("\xff\xe1\0\x1a\xff\xd8\xff\xda a thumbnail \xff\xd9     ", 28);
  const std::string with_thumbnail = jpeg.substr(0, 2) + segment + jpeg.substr(2);
  const std::string padded = jpeg.substr(0, 2) + "\xff\xff" + jpeg.substr(2);
  for (const std::string& whole : {jpeg + "ftyp\xff\xda..", jpeg + jpeg, jpeg + jpeg.substr(0, 5000),
                                   jpeg + "\xff", with_thumbnail, padded}) {
    write_file_atomically(path, whole);
    EXPECT_TRUE(torch::equal(read_image(path, 3), pixels)) << whole.size();
  }
  for (const size_t length :
       {size_t{4}, size_t{25}, size_t{60}, jpeg.size() / 2, with_thumbnail.size() - 1}) {
    write_file_atomically(path, with_thumbnail.substr(0, length));
    EXPECT_EQ(message_of<InputError>([&] { read_image(path, 3); }),
              path + ": is a truncated JPEG; restore or remove it")
        << length;
  }
}

// Phones store what their sensor saw and say how it was held.
TEST(ReadImage, APhotographIsTurnedUpright) {
  const TemporaryFolder folder;
  const std::string jpeg = read_file(test::kPhotographs + "/china.jpg");
  const Tensor stored = read_image(test::kPhotographs + "/china.jpg", 3);
  // An Exif segment whose only entry is the orientation, 6: the top is to the right.
  const std::string exif(
      "\xff\xe1\0\x22"
      "Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
      36);
  write_file_atomically(folder / "x.jpg", jpeg.substr(0, 2) + exif + jpeg.substr(2));
  EXPECT_TRUE(torch::equal(read_image(folder / "x.jpg", 3), stored.flip(1).transpose(1, 2)));
}

TEST(ReadImage, NumPyArraysAreImagesOfOneOrThreeChannels) {
  const TemporaryFolder folder;
  const auto decoded = [&](const Tensor& array, int64_t channels) {
    save_npz(folder / "x.npz", {{"x", array}});
    return decode_image(ZipArchive(folder / "x.npz").read(0, "x"), channels, "x.npy");
  };
  const Tensor colour = gradient(3, 4, 5);
  EXPECT_TRUE(torch::equal(decoded(colour, 3), colour));
  EXPECT_TRUE(torch::equal(decoded(colour.permute({1, 2, 0}), 3), colour));
  EXPECT_TRUE(torch::equal(decoded(colour, 1), decode_image(encode_png(colour), 1, "x.png")));
  const Tensor grey = gradient(1, 4, 5);
  for (const Tensor& array : {grey, grey[0], grey.permute({1, 2, 0})}) {
    EXPECT_TRUE(torch::equal(decoded(array, 1), grey));
    EXPECT_TRUE(torch::equal(decoded(array, 3), grey.expand({3, 4, 5})));
  }
  const auto complaint = [&](const Tensor& array) {
    return message_of<InputError>([&] { decoded(array, 3); });
  };
  EXPECT_THAT(complaint(torch::zeros({8, 4, 4})),
              HasSubstr("x.npy: is Float [8, 4, 4]; expected an image, uint8"));
  EXPECT_THAT(complaint(gradient(4, 4, 4)), HasSubstr("is Byte [4, 4, 4]"));
  EXPECT_THAT(complaint(grey.slice(1, 0, 0)), HasSubstr("is Byte [1, 0, 5]"));
  EXPECT_THAT(message_of<InputError>([] { decode_image("\x93NUMPY\1", 3, "x.npy"); }),
              HasSubstr("x.npy: is a truncated .npy"));
}

TEST(MakeGrid, LaysImagesOutRowByRowOnWhite) {
  Tensor pixels = torch::zeros({3, 1, 32, 40}, torch::kUInt8);
  for (int64_t i = 0; i < 3; ++i) pixels[i].fill_(10 * (i + 1));
  const Tensor grid = make_grid(pixels, 2, 3);
  ASSERT_EQ(grid.sizes(), (std::vector<int64_t>{1, 2 * 35 + 3, 2 * 43 + 3}));
  const auto at = [&](int64_t row, int64_t column) { return grid[0][row][column].item<int64_t>(); };
  EXPECT_EQ(at(3, 3), 10);
  EXPECT_EQ(at(34, 42), 10);
  EXPECT_EQ(at(3, 46), 20);
  EXPECT_EQ(at(38, 3), 30);
  for (const auto& [row, column] : {std::pair{0, 0}, {2, 3}, {35, 3}, {3, 43}, {38, 46}, {72, 88}}) {
    EXPECT_EQ(at(row, column), 255) << row << ", " << column;
  }
}

TEST(MakeGrid, IsAsSquareAsItCan) {
  const auto shape_of = [](int64_t count) {
    const Tensor grid = make_grid(torch::zeros({count, 3, 32, 32}, torch::kUInt8), 0, 0);
    return std::pair{grid.size(1) / 32, grid.size(2) / 32};
  };
  EXPECT_EQ(shape_of(1), (std::pair<int64_t, int64_t>{1, 1}));
  EXPECT_EQ(shape_of(16), (std::pair<int64_t, int64_t>{4, 4}));
  EXPECT_EQ(shape_of(12), (std::pair<int64_t, int64_t>{3, 4}));
}

TEST(MakeGrid, EnlargesSmallImagesByAWholeFactor) {
  const Tensor pixels = gradient(1, 8, 8).unsqueeze(0);
  const Tensor grid = make_grid(pixels, 1, 0);
  EXPECT_EQ(grid.sizes(), (std::vector<int64_t>{1, 32, 32}));
  for (const int64_t offset : {0, 3}) {
    EXPECT_TRUE(torch::equal(grid.slice(1, offset, {}, 4).slice(2, offset, {}, 4), pixels[0]));
  }
  EXPECT_EQ(make_grid(torch::zeros({1, 1, 28, 28}, torch::kUInt8), 1, 0).size(1), 56);
}

TEST(MakeGrid, NeedsImages) {
  EXPECT_THAT(message_of<c10::Error>([] {
                make_grid(torch::zeros({0, 3, 8, 8}, torch::kUInt8));
              }),
              HasSubstr("a grid needs images"));
}

TEST(ImageSuffix, IsReadInAnyCase) {
  for (const char* name : {"b.PNG", "c/a.jpeg", "d.jfif", "e.Webp", "f.ppm", "g.npy", "a.b.tif"}) {
    EXPECT_EQ(image_suffix(name), ImageSuffix::readable) << name;
  }
  for (const char* name : {"a.gif", "a.HEIC", "a.avif"}) {
    EXPECT_EQ(image_suffix(name), ImageSuffix::unreadable) << name;
  }
  for (const char* name : {"png", ".png", "a.txt", "a.png.txt", "a.png/b", "dataset.json"}) {
    EXPECT_EQ(image_suffix(name), ImageSuffix::none) << name;
  }
}

TEST(FormatMistake, IsFoundInTheFirstBytes) {
  const std::string ppm = "P6 1 1 255 \1\2\3";
  EXPECT_TRUE(
      torch::equal(decode_image(ppm, 3, "ppm"), torch::tensor({1, 2, 3}, torch::kUInt8).view({3, 1, 1})));
  for (const std::string& image :
       {encode_png(gradient(1, 2, 2)), ppm, read_file(test::kPhotographs + "/china.jpg"),
        "RIFF...."s + "WEBP", "BM...."s, "II*\0"s, "MM\0*"s, "\x93NUMPY\1\0"s}) {
    EXPECT_EQ(format_mistake(image.substr(0, kSignatureBytes)), "") << image.substr(0, 4);
  }
  EXPECT_EQ(format_mistake(""), "empty file; restore or remove it");
  for (const char* other : {"GIF89a", "RIFF", "RIFF....AVI ", "<html>", "\xff\xd8", "P7", "ftypheic"}) {
    EXPECT_THAT(format_mistake(other), HasSubstr("no image of a known format")) << other;
  }
}

}  // namespace
}  // namespace cm
