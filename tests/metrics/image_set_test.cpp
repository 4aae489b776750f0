#include "cm/metrics/image_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/image.h"
#include "cm/io/npz.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/zip_file.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

// uint8 [shape…], every value different as long as there are few.
Tensor ramp(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return torch::arange(count, torch::kInt64).remainder(251).to(torch::kUInt8).reshape(shape);
}

std::string load_mistake(const std::filesystem::path& path) {
  return message_of<InputError>([&] { load_images(path); });
}

TEST(ImageSet, NpzBecomesChannelsFirst) {
  const TemporaryFolder folder;
  const Tensor images = ramp({2, 4, 4, 3});
  save_npz(folder / "a.npz", {{"arr_0", images}, {"arr_1", torch::tensor({3, 1}, torch::kInt64)}});
  const ImageSet set = load_images(folder / "a.npz");
  EXPECT_TRUE(torch::equal(set.pixels, images.permute({0, 3, 1, 2})));
  EXPECT_TRUE(torch::equal(*set.labels, torch::tensor({3, 1}, torch::kInt64)));
  EXPECT_EQ(to_string(set.shape()), "3×4×4");
}

TEST(ImageSet, NpzWithoutLabelsHasNone) {
  const TemporaryFolder folder;
  save_npz(folder / "a.npz", {{"arr_0", ramp({2, 4, 4, 1})}});
  EXPECT_FALSE(load_images(folder / "a.npz").labels.has_value());
}

TEST(ImageSet, SamplesOfAFolderComeBeforeItsPictures) {
  const TemporaryFolder folder;
  save_npz(folder / "samples.npz", {{"arr_0", ramp({5, 4, 4, 1})}});
  write_png(folder / "grid.png", ramp({1, 9, 9}));
  EXPECT_EQ(load_images(folder.path()).size(), 5);
}

TEST(ImageSet, FolderOfGreyImagesHasOneChannelAndRgbThree) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", ramp({1, 4, 4}));
  EXPECT_TRUE(torch::equal(load_images(folder.path()).pixels, ramp({1, 1, 4, 4})));
  write_png(folder / "b.png", ramp({3, 4, 4}));
  EXPECT_EQ(load_images(folder.path()).shape(), (ImageShape{3, 4, 4}));
}

TEST(ImageSet, ZipsAndFoldersBringTheirLabels) {
  const TemporaryFolder folder;
  const std::string png = encode_png(ramp({1, 4, 4}));
  test::write_zip(folder / "x.zip",
                  {{"00000/a.png", png},
                   {"00000/b.png", png},
                   {"dataset.json", R"({"labels": [["00000/a.png", 7], ["00000/b.png", 2]]})"}});
  const ImageSet set = load_images(folder / "x.zip");
  EXPECT_EQ(set.path, (folder / "x.zip").string());
  EXPECT_TRUE(torch::equal(set.pixels, ramp({1, 1, 4, 4}).repeat({2, 1, 1, 1})));
  EXPECT_TRUE(torch::equal(*set.labels, torch::tensor({7, 2}, torch::kInt64)));

  std::filesystem::create_directories(folder / "y/cats/more");
  write_png(folder / "y/cats/more/a.png", ramp({1, 4, 4}));
  write_png(folder / "y/cats/b.png", ramp({1, 4, 4}));
  EXPECT_TRUE(torch::equal(*load_images(folder / "y").labels, torch::zeros({2}, torch::kInt64)));
}

TEST(ImageSet, TheDigitsHaveTheirLabels) {
  const ImageSet digits = load_images(std::filesystem::path(CM_SOURCE_DIR) / "data/digits/digits.csv.gz");
  EXPECT_EQ(digits.size(), 1797);
  EXPECT_EQ(digits.shape(), (ImageShape{1, 8, 8}));
  EXPECT_EQ((*digits.labels)[9].item<int64_t>(), 9);
}

TEST(ImageSet, RefusesWhatIsMissingOrUnknown) {
  const TemporaryFolder folder;
  EXPECT_THAT(load_mistake(folder / "none.npz"), HasSubstr("none.npz: no such file or folder"));
  EXPECT_THAT(load_mistake(folder.path()), HasSubstr(": no images; expected PNG"));
  write_file_atomically(folder / "a.txt", "text");
  EXPECT_THAT(load_mistake(folder / "a.txt"), HasSubstr("a.txt: unknown kind of image set"));
}

TEST(ImageSet, RefusesOtherArrays) {
  const TemporaryFolder folder;
  save_npz(folder / "stats.npz", {{"mu", torch::zeros({4})}});
  EXPECT_THAT(load_mistake(folder / "stats.npz"), HasSubstr("stats.npz: no array arr_0"));
  save_npz(folder / "float.npz", {{"arr_0", torch::zeros({2, 4, 4, 3})}});
  EXPECT_THAT(load_mistake(folder / "float.npz"), AllOf(HasSubstr("float.npz"), HasSubstr("uint8")));
}

TEST(ImageSet, RefusesMixedSizes) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", ramp({1, 4, 4}));
  write_png(folder / "b.png", ramp({1, 4, 6}));
  EXPECT_THAT(load_mistake(folder.path()),
              AllOf(HasSubstr("b.png: 6×4 pixels, but "), HasSubstr("a.png has 4×4"), HasSubstr("one size")));
}

}  // namespace
}  // namespace cm
