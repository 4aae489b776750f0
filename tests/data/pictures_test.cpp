#include "cm/data/pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/image.h"
#include "cm/io/npz.h"
#include "support/message_of.h"
#include "support/shipped_data.h"
#include "support/temporary_folder.h"
#include "support/zip_file.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TemporaryFolder;
using testing::EndsWith;
using testing::HasSubstr;

constexpr int64_t kAll = 1000;

Tensor colours(int64_t height, int64_t width) {
  return torch::arange(3 * height * width).to(torch::kUInt8).view({3, height, width});
}

TEST(Pictures, AnImageFileIsReadAsItIs) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", colours(4, 7));
  const auto pictures = read_pictures(folder / "a.png", 3, kAll);
  ASSERT_EQ(pictures.size(), 1U);
  EXPECT_EQ(pictures[0].name, (folder / "a.png").string());
  EXPECT_TRUE(torch::equal(pictures[0].pixels, colours(4, 7)));
  EXPECT_FALSE(pictures[0].label);
  EXPECT_EQ(read_pictures(folder / "a.png", 1, kAll)[0].pixels.sizes(), torch::IntArrayRef({1, 4, 7}));
}

TEST(Pictures, AFolderIsReadByNameAndNotFurtherThanAskedFor) {
  const TemporaryFolder folder;
  write_png(folder / "b.png", colours(2, 2));
  write_png(folder / "a.png", colours(4, 7));
  write_file_atomically(folder / "c.png", encode_png(colours(2, 2)).substr(0, 40));
  const auto pictures = read_pictures(folder.path(), 3, 2);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_THAT(pictures[0].name, EndsWith("a.png"));
  EXPECT_THAT(pictures[1].name, EndsWith("b.png"));
  EXPECT_THAT(message_of<InputError>([&] { read_pictures(folder.path(), 3, 3); }),
              HasSubstr("c.png: is a truncated PNG"));
}

TEST(Pictures, ArchivesBringTheirClasses) {
  const TemporaryFolder folder;
  const Tensor pixels = torch::arange(2 * 4 * 4).to(torch::kUInt8).view({2, 4, 4, 1});
  save_npz(folder / "x.npz", {{"arr_0", pixels}, {"arr_1", torch::tensor({4, 1}, torch::kInt64)}});
  const auto pictures = read_pictures(folder / "x.npz", 1, kAll);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_THAT(pictures[1].name, EndsWith("x.npz#1"));
  EXPECT_EQ(pictures[0].label, 4);
  EXPECT_EQ(pictures[1].label, 1);
  EXPECT_TRUE(torch::equal(pictures[1].pixels, pixels[1].permute({2, 0, 1})));
  save_npz(folder / "bare.npz", {{"arr_0", pixels}});
  EXPECT_FALSE(read_pictures(folder / "bare.npz", 1, kAll)[0].label);
  const auto digits = read_pictures(fs::path(CM_SOURCE_DIR) / "data/digits/digits.csv.gz", 1, 3);
  ASSERT_EQ(digits.size(), 3U);
  EXPECT_EQ(digits[2].pixels.sizes(), torch::IntArrayRef({1, 8, 8}));
  EXPECT_TRUE(digits[2].label);
}

TEST(Pictures, FoldersAndZipsBringTheirClasses) {
  const TemporaryFolder folder;
  const std::string a = encode_png(colours(4, 7));
  const std::string b = encode_png(colours(2, 2));
  test::write_zip(folder / "x.zip", {{"cats/a.png", a}, {"dogs/more/b.png", b}});
  const auto pictures = read_pictures(folder / "x.zip", 3, kAll);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_THAT(pictures[1].name, EndsWith("x.zip/dogs/more/b.png"));
  EXPECT_TRUE(torch::equal(pictures[0].pixels, colours(4, 7)));
  EXPECT_EQ(pictures[0].label, 0);
  EXPECT_EQ(pictures[1].label, 1);
}

TEST(Pictures, AFolderOfSamplesIsReadWithoutItsGrid) {
  const TemporaryFolder folder;
  write_png(folder / "grid.png", colours(9, 9));
  save_npz(folder / "samples.npz", {{"arr_0", torch::zeros({2, 4, 4, 3}, torch::kUInt8)}});
  const auto pictures = read_pictures(folder.path(), 3, kAll);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_THAT(pictures[0].name, EndsWith("samples.npz#0"));
}

TEST(Pictures, WhatCannotBeReadIsNamed) {
  const TemporaryFolder folder;
  const auto complaint = [&](const fs::path& path, int64_t channels) {
    return message_of<InputError>([&] { read_pictures(path, channels, kAll); });
  };
  EXPECT_THAT(complaint(folder / "nowhere", 3), HasSubstr("nowhere: no such file or folder"));
  EXPECT_THAT(complaint(folder.path(), 3), HasSubstr(": no images; expected PNG"));
  save_npz(folder / "grey.npz", {{"arr_0", torch::zeros({2, 4, 4, 1}, torch::kUInt8)}});
  EXPECT_THAT(complaint(folder / "grey.npz", 3),
              HasSubstr("has images of 1 channel(s), and the model's have 3"));
  write_file_atomically(folder / "empty.png", "");
  EXPECT_THAT(complaint(folder / "empty.png", 3), HasSubstr("empty.png: is empty; expected an image"));
}

TEST(StoredImages, TheirKindIsToldByThePath) {
  const TemporaryFolder folder;
  const std::string png = encode_png(colours(4, 7));
  test::write_zip(folder / "a.ZIP", {{"a.png", png}});
  save_npz(folder / "a.npz", {{"arr_0", torch::zeros({2, 4, 4, 1}, torch::kUInt8)}});
  fs::create_directories(folder / "pictures.npz");  // a folder, whatever its name
  write_file_atomically(folder / "pictures.npz/a.png", png);
  write_file_atomically(folder / "b.png", png);
  write_file_atomically(folder / "b", png);
  const auto name_of = [](const fs::path& path) { return open_stored_images(path)->where(0); };
  EXPECT_THAT(name_of(folder / "a.ZIP"), EndsWith("a.ZIP/a.png"));
  EXPECT_THAT(name_of(folder / "a.npz"), EndsWith("a.npz#0"));
  EXPECT_THAT(name_of(folder / "pictures.npz"), EndsWith("pictures.npz/a.png"));
  EXPECT_THAT(name_of(test::kDigits), EndsWith(".csv.gz#0"));
  EXPECT_EQ(open_stored_images(folder / "b.png"), nullptr);
  EXPECT_EQ(open_stored_images(folder / "b"), nullptr);
}

TEST(StoredImages, KeepTheirSizesAndGetTheChannelsAskedFor) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", colours(4, 7));
  write_png(folder / "b.png", colours(2, 3));
  const auto images = open_stored_images(folder.path());
  EXPECT_EQ(images->path(), folder.path().string());
  EXPECT_FALSE(images->channels());
  EXPECT_TRUE(torch::equal(images->get(0, 3).pixels, colours(4, 7)));
  EXPECT_EQ(images->get(1, 1).pixels.sizes(), torch::IntArrayRef({1, 2, 3}));
}

TEST(StoredImages, AFolderIsItsFilesUnlessItHasSamples) {
  const TemporaryFolder folder;
  EXPECT_EQ(stored_path(folder.path()), folder.path());
  save_npz(folder / "samples.npz", {{"arr_0", torch::zeros({2, 4, 4, 1}, torch::kUInt8)}});
  EXPECT_EQ(stored_path(folder.path()), folder / "samples.npz");
  EXPECT_EQ(open_stored_images(folder.path())->path(), (folder / "samples.npz").string());
}

TEST(StoredImages, MustBeThere) {
  const TemporaryFolder folder;
  fs::create_symlink("self", folder / "self");
  EXPECT_EQ(message_of<InputError>([&] { open_stored_images(folder / "none"); }),
            (folder / "none").string() + ": no such file or folder");
  EXPECT_EQ(message_of<InputError>([&] { open_stored_images(folder / "self"); }),
            (folder / "self").string() + ": Too many levels of symbolic links");
}

}  // namespace
}  // namespace cm
