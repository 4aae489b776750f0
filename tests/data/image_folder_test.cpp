#include "cm/data/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::Not;

// Writes a picture of one colour.
void write_colour(const fs::path& path, int value, int64_t height = 4, int64_t width = 4) {
  fs::create_directories(path.parent_path());
  write_png(path, torch::full({3, height, width}, value, torch::kUInt8));
}

std::string complaint(const TemporaryFolder& folder) {
  return message_of<InputError>([&] { open_image_folder(folder.path(), 4, 3, true); });
}

TEST(ImageFolder, TakesClassesFromSubfoldersByName) {
  const TemporaryFolder folder;
  write_colour(folder / "dogs/a.png", 30);
  write_colour(folder / "cats/b.png", 20);
  write_colour(folder / "cats/a.png", 10);
  write_colour(folder / ".thumbnails/a.png", 99);
  const auto data = open_image_folder(folder.path(), 4, 3, true);
  ASSERT_EQ(data->size(), 3);
  EXPECT_EQ(data->classes(), 2);
  EXPECT_EQ(data->channels(), 3);
  EXPECT_EQ(data->image_size(), 4);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(data->get(i).label, i == 2 ? 1 : 0);
    EXPECT_EQ(data->get(i).pixels[0][0][0].item<int>(), 10 * (i + 1));
  }
}

TEST(ImageFolder, HasNoClassesWhenFlatOrUnlabelled) {
  const TemporaryFolder flat;
  write_colour(flat / "a.png", 10);
  fs::create_directory(flat / "notes");
  EXPECT_EQ(open_image_folder(flat.path(), 4, 3, true)->classes(), 0);

  const TemporaryFolder nested;
  write_colour(nested / "a/a.png", 10);
  write_colour(nested / "b/b.png", 10);
  const auto unlabelled = open_image_folder(nested.path(), 4, 3, false);
  EXPECT_EQ(unlabelled->classes(), 0);
  EXPECT_EQ(unlabelled->get(1).label, 0);
}

TEST(ImageFolder, CropsAndResizes) {
  const TemporaryFolder folder;
  const Tensor photo = torch::arange(3 * 9 * 14).remainder(251).to(torch::kUInt8).view({3, 9, 14});
  write_png(folder / "a.png", photo);
  const auto data = open_image_folder(folder.path(), 4, 3, true);
  EXPECT_TRUE(torch::equal(data->get(0).pixels, center_crop(photo, 4)));
  EXPECT_EQ(open_image_folder(folder.path(), 4, 1, true)->get(0).pixels.sizes(), at::IntArrayRef({1, 4, 4}));
}

TEST(ImageFolder, NamesEveryFileThatIsNoImage) {
  const TemporaryFolder folder;
  write_colour(folder / "good.png", 10);
  write_file_atomically(folder / "empty.png", "");
  write_file_atomically(folder / "page.jpg", "<html>404</html>");
  const std::string message = complaint(folder);
  EXPECT_THAT(message, HasSubstr("empty.png: empty file"));
  EXPECT_THAT(message, HasSubstr("page.jpg: no image of a known format"));
  EXPECT_THAT(message, Not(HasSubstr("good.png")));

  for (int i = 0; i < 12; ++i) write_file_atomically(folder / concat("bad", i, ".png"), "x");
  EXPECT_THAT(complaint(folder), HasSubstr("4 more mistakes"));
}

TEST(ImageFolder, ReportsABrokenImageWhenItIsRead) {
  const TemporaryFolder folder;
  write_colour(folder / "a.png", 10);
  const std::string whole = read_file(folder / "a.png");
  write_file_atomically(folder / "a.png", whole.substr(0, 20));
  const auto data = open_image_folder(folder.path(), 4, 3, true);
  EXPECT_THAT(message_of<InputError>([&] { data->get(0); }), HasSubstr("a.png"));
}

TEST(ImageFolder, RefusesFoldersThatItCannotUnderstand) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<InputError>([&] { open_image_folder(folder / "none", 4, 3, true); }),
              HasSubstr("none: no folder"));
  EXPECT_THAT(complaint(folder), HasSubstr("no images; expected PNG, JPEG"));
  write_colour(folder / "cats/a.png", 10);
  fs::create_directory(folder / "dogs");
  EXPECT_THAT(complaint(folder), HasSubstr("dogs: a class without images"));
  write_colour(folder / "b.png", 10);
  EXPECT_THAT(complaint(folder),
              HasSubstr("images both beside subfolders (\"b.png\") and inside (\"cats/a.png\")"));
}

}  // namespace
}  // namespace cm
