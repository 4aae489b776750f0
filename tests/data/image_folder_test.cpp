#include "cm/data/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/data/loader.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/zip_file.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

TEST(ImageFolder, CropsAndResizes) {
  const TemporaryFolder folder;
  const Tensor photo = torch::arange(3 * 9 * 14).remainder(251).to(torch::kUInt8).view({3, 9, 14});
  write_png(folder / "a.png", photo);
  const auto data = open_image_folder(folder.path(), 4, 3, true);
  EXPECT_EQ(data->size(), 1);
  EXPECT_EQ(data->channels(), 3);
  EXPECT_EQ(data->image_size(), 4);
  EXPECT_EQ(data->classes(), 0);
  EXPECT_TRUE(torch::equal(data->get(0).pixels, center_crop(photo, 4)));
  EXPECT_EQ(open_image_folder(folder.path(), 4, 1, true)->get(0).pixels.sizes(), at::IntArrayRef({1, 4, 4}));
}

TEST(ImageFolder, GivesItsClassesToTheLoadersThreads) {
  const TemporaryFolder folder;
  test::ZipEntries files;
  for (int i = 0; i < 30; ++i) {
    const std::string png = encode_png(torch::full({1, 4, 4}, i, torch::kUInt8));
    files.emplace_back((i < 10 ? "cats/" : "dogs/") + std::to_string(100 + i) + ".png", png);
  }
  test::write_zip(folder / "x.zip", files, true);
  const auto data = open_image_folder(folder / "x.zip", 4, 1, true);
  EXPECT_EQ(data->classes(), 2);
  EXPECT_EQ(open_image_folder(folder / "x.zip", 4, 1, false)->classes(), 0);
  Loader loader(*data, {.batch_size = 30, .workers = 4});
  const Batch batch = loader.next();
  const Tensor values = batch.x.select(1, 0).select(1, 0).select(1, 0);  // of one pixel each
  EXPECT_TRUE(torch::equal(std::get<0>(values.sort()), from_uint8(torch::arange(30, torch::kUInt8))));
  EXPECT_TRUE(
      torch::equal(batch.labels, (values > from_uint8(torch::tensor(9, torch::kUInt8))).to(torch::kInt64)));
}

TEST(ImageFolder, ReportsABrokenImageWhenItIsRead) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", torch::zeros({3, 4, 4}, torch::kUInt8));
  const std::string whole = read_file(folder / "a.png");
  write_file_atomically(folder / "a.png", whole.substr(0, 20));
  const auto data = open_image_folder(folder.path(), 4, 3, true);
  EXPECT_THAT(message_of<InputError>([&] { data->get(0); }), HasSubstr("a.png"));
}

}  // namespace
}  // namespace cm
