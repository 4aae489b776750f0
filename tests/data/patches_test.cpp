#include "src/data/patches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/data/loader.h"
#include "cm/io/image.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/shipped_data.h"
#include "support/temporary_folder.h"
#include "support/zip_file.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::unique_ptr<Dataset> open_patches(const std::string& path, int64_t size, int64_t channels, bool labels,
                                      const PatchOptions& draw) {
  return patches_kind().open(
      {.path = path, .image_size = size, .channels = channels, .labels = labels, .patches = draw});
}

// Every pixel says where it is: red is its row, green its column, blue `name`.
Tensor map_of(int64_t height, int64_t width, int64_t name) {
  const Tensor rows = torch::arange(height).view({height, 1}).expand({height, width});
  const Tensor columns = torch::arange(width).expand({height, width});
  return torch::stack({rows, columns, torch::full({height, width}, name)}).to(torch::kUInt8);
}

// a.png has 3 · 4 = 12 positions for patches of side 4, b.png 5 · 12 = 60.
void write_two_maps(const TemporaryFolder& folder) {
  write_png(folder / "b.png", map_of(8, 15, 200));
  write_png(folder / "a.png", map_of(6, 7, 100));
}

using Place = std::array<int64_t, 3>;  // picture, top, left

Place place_of(const Tensor& patch) {
  return {patch[2][0][0].item<int64_t>(), patch[0][0][0].item<int64_t>(), patch[1][0][0].item<int64_t>()};
}

TEST(Patches, AreCutOutOfTheirPicture) {
  const TemporaryFolder folder;
  write_two_maps(folder);
  const auto data = open_patches(folder.path(), 4, 3, true, {.count = 40});
  EXPECT_EQ(data->size(), 40);
  EXPECT_EQ(data->channels(), 3);
  EXPECT_EQ(data->image_size(), 4);
  EXPECT_EQ(data->classes(), 2);
  for (int64_t i = 0; i < 40; ++i) {
    const auto [pixels, label] = data->get(i);
    const auto [picture, top, left] = place_of(pixels);
    EXPECT_EQ(label, picture == 200 ? 1 : 0);
    const Tensor whole = map_of(20, 20, picture);
    EXPECT_TRUE(torch::equal(pixels, whole.narrow(1, top, 4).narrow(2, left, 4)));
  }
}

// 72 positions in all, of which each gets 20,000 / 72 = 278 patches, with a standard deviation of 16.6.
TEST(Patches, ComeFromAllPositionsAlike) {
  const TemporaryFolder folder;
  write_two_maps(folder);
  const auto data = open_patches(folder.path(), 4, 3, false, {.count = 20'000});
  std::map<Place, int64_t> counts;
  for (int64_t i = 0; i < data->size(); ++i) ++counts[place_of(data->get(i).pixels)];
  EXPECT_EQ(counts.size(), 72);
  EXPECT_TRUE(counts.contains({100, 2, 3}));
  EXPECT_TRUE(counts.contains({200, 4, 11}));
  for (const auto& [place, count] : counts) EXPECT_NEAR(count, 20'000.0 / 72, 5 * 16.6);
}

TEST(Patches, DependOnSeedAndIndexAlone) {
  const TemporaryFolder folder;
  write_two_maps(folder);
  const auto few = open_patches(folder.path(), 4, 3, false, {.count = 50, .seed = 7});
  const auto many = open_patches(folder.path(), 4, 3, false, {.count = 500, .seed = 7});
  const auto others = open_patches(folder.path(), 4, 3, false, {.count = 50, .seed = 8});
  int64_t equal = 0;
  for (int64_t i = 49; i >= 0; --i) {
    EXPECT_TRUE(torch::equal(few->get(i).pixels, many->get(i).pixels));
    equal += torch::equal(few->get(i).pixels, others->get(i).pixels) ? 1 : 0;
  }
  EXPECT_LT(equal, 10);
  EXPECT_THROW(few->get(50), c10::Error);
  EXPECT_THROW(few->get(-1), c10::Error);
}

TEST(Patches, HaveTheMeansOfAReducedPicture) {
  const TemporaryFolder folder;
  const Tensor fine = (37 * torch::arange(3 * 7 * 9)).remainder(251).to(torch::kUInt8).view({3, 7, 9});
  write_png(folder / "a.png", fine);
  const auto data = open_patches(folder / "a.png", 3, 3, false, {.count = 20, .reduce = 2});
  const Tensor means =
      fine.narrow(1, 0, 6).narrow(2, 0, 8).to(torch::kFloat64).view({3, 3, 2, 4, 2}).mean({2, 4});
  std::set<int64_t> lefts;
  for (int64_t i = 0; i < 20; ++i) {
    const Tensor pixels = data->get(i).pixels.to(torch::kFloat64);
    const auto error = [&](int64_t left) {
      return (pixels - means.narrow(2, left, 3)).abs().max().item<double>();
    };
    const int64_t left = error(0) < error(1) ? 0 : 1;
    EXPECT_LE(error(left), 1);  // rounded once in each direction
    lefts.insert(left);
  }
  EXPECT_EQ(lefts, (std::set<int64_t>{0, 1}));
}

TEST(Patches, OfOnePictureAsLargeAsThemAreThePicture) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", map_of(4, 4, 9));
  const auto data = open_patches(folder / "a.png", 4, 3, true, {.count = 2});
  EXPECT_EQ(data->classes(), 1);
  EXPECT_TRUE(torch::equal(data->get(0).pixels, map_of(4, 4, 9)));
}

TEST(Patches, OfAZipAreThoseOfItsPictures) {
  const TemporaryFolder folder;
  test::write_zip(folder / "x.zip",
                  {{"a/2.png", encode_png(map_of(4, 4, 9))}, {"a/1.png", encode_png(map_of(4, 4, 8))}});
  const auto data = open_patches(folder / "x.zip", 4, 3, true, {.count = 20});
  EXPECT_EQ(data->classes(), 2);
  for (int64_t i = 0; i < data->size(); ++i) {
    const Example patch = data->get(i);
    EXPECT_TRUE(torch::equal(patch.pixels, map_of(4, 4, patch.label == 0 ? 8 : 9)));
  }
}

TEST(Patches, OfGreyPicturesAreGrey) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", torch::full({1, 5, 5}, 30, torch::kUInt8));
  EXPECT_EQ(open_patches(folder.path(), 4, 1, false, {})->get(0).pixels.sizes(), at::IntArrayRef({1, 4, 4}));
}

TEST(Patches, ReachTheLoaderFromAnyStep) {
  const auto data = open_patches(test::kPhotographs, 32, 3, true, {.count = 60, .reduce = 4});
  const LoaderOptions options{.batch_size = 8, .seed = 3};
  Loader whole(*data, options);
  for (int64_t step = 0; step < 9; ++step) whole.next();  // into the second epoch
  const Batch expected = whole.next();
  const Batch resumed = Loader(*data, options, 9).next();
  EXPECT_TRUE(torch::equal(resumed.x, expected.x));
  EXPECT_TRUE(torch::equal(resumed.labels, expected.labels));
  EXPECT_EQ(expected.labels.max().item<int64_t>(), 1);
}

TEST(Patches, NameEveryPictureThatIsOfNoUse) {
  const TemporaryFolder folder;
  write_png(folder / "good.png", map_of(9, 9, 1));
  write_png(folder / "grey.png", torch::full({1, 9, 9}, 30, torch::kUInt8));
  write_png(folder / "small.png", map_of(20, 7, 1));
  const std::string whole = read_file(folder / "good.png");
  write_file_atomically(folder / "half.png", whole.substr(0, whole.size() / 2));
  const auto complaint = [&](int64_t channels) {
    return message_of<InputError>([&] { open_patches(folder.path(), 4, channels, true, {.reduce = 2}); });
  };
  EXPECT_THAT(complaint(3),
              AllOf(HasSubstr("grey.png: is grey, and data.channels is 3"), Not(HasSubstr("good.png")),
                    HasSubstr("small.png: is 7×20 pixels, reduced to 3×10, too small for patches of 4×4"),
                    HasSubstr("half.png: is a truncated PNG")));
  EXPECT_THAT(complaint(1), Not(HasSubstr("grey.png")));
}

TEST(Patches, NeedAPicture) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<InputError>([&] { open_patches(folder.path(), 4, 3, true, {}); }),
              HasSubstr("no images; expected PNG, JPEG"));
  EXPECT_THAT(message_of<InputError>([&] { open_patches(folder / "none.png", 4, 3, true, {}); }),
              HasSubstr("none.png"));
}

TEST(Patches, AreAKindOfData) {
  test::expect_laws_of_a_kind({.kind = {"patches"}, .path = test::kPhotographs});
  test::expect_laws_of_a_kind({.kind = {"patches"}, .path = test::kPhotographs, .image_size = 8});
}

}  // namespace
}  // namespace cm
