#include "src/data/image_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/data/loader.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/zip_file.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string png_of(int value) {
  return encode_png(torch::full({1, 2, 2}, value, torch::kUInt8));
}

void put(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  write_file_atomically(path, content);
}

// The same files in a folder and in an archive.
void put_both(const fs::path& folder, const test::ZipEntries& files) {
  for (const auto& [name, content] : files) put(folder / name, content);
  test::write_zip(folder.string() + ".zip", files, true);
}

// The grey values of all images.
std::vector<int> values_of(const ImageFiles& images) {
  std::vector<int> values;
  for (int64_t i = 0; i < images.size(); ++i) values.push_back(images.read(i, 1)[0][0][0].item<int>());
  return values;
}

std::vector<int64_t> labels_of(const ImageFiles& images) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) labels.push_back(images.label(i));
  return labels;
}

std::string complaint(const fs::path& path) {
  return message_of<InputError>([&] { ImageFiles images(path); });
}

TEST(ImageFiles, FoldersAreClassesWithAllThatLiesBelowThem) {
  const TemporaryFolder folder;
  put_both(folder / "pets", {{"dogs/a.png", png_of(40)},
                             {"cats/more/2.jfif", png_of(20)},
                             {"cats/z.png", png_of(30)},
                             {"cats/10.PNG", png_of(10)},
                             {"cats-and-dogs/1.png", png_of(35)}});
  for (const char* name : {"pets", "pets.zip"}) {
    const ImageFiles images(folder / name);
    EXPECT_THAT(values_of(images), ElementsAre(10, 20, 30, 35, 40)) << name;
    EXPECT_THAT(labels_of(images), ElementsAre(0, 0, 0, 1, 2)) << name;
    EXPECT_EQ(images.classes(), 3);
    EXPECT_EQ(images.where(1), (folder / name / "cats/more/2.jfif").string());
    const ImageFiles unlabelled(folder / name, false);
    EXPECT_THAT(values_of(unlabelled), ElementsAre(10, 20, 30, 35, 40)) << name;
    EXPECT_THAT(labels_of(unlabelled), ElementsAre(0, 0, 0, 0, 0));
    EXPECT_EQ(unlabelled.classes(), 0);
  }
}

TEST(ImageFiles, WithoutFoldersHaveNoClasses) {
  const TemporaryFolder folder;
  put_both(folder / "x", {{"b.png", png_of(2)}, {"a.png", png_of(1)}});
  fs::create_directory(folder / "x/notes");
  for (const char* name : {"x", "x.zip"}) {
    const ImageFiles images(folder / name);
    EXPECT_THAT(values_of(images), ElementsAre(1, 2)) << name;
    EXPECT_EQ(images.classes(), 0);
  }
}

TEST(ImageFiles, WhatIsLeftOutIsCounted) {
  const TemporaryFolder folder;
  put_both(folder / "x", {{"a.png", png_of(1)},
                          {"._a.png", "resources"},
                          {"Thumbs.db", "thumbnails"},
                          {".cache/b.png", png_of(2)},
                          {"__MACOSX/._a.png", "resources"},
                          {"names.txt", "cat"},
                          {"README", "cat"}});
  for (const char* name : {"x", "x.zip"}) {
    testing::internal::CaptureStderr();
    const ImageFiles images(folder / name);
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_THAT(values_of(images), ElementsAre(1)) << name;
    EXPECT_THAT(log, AllOf(HasSubstr(concat(name, ": 1 image(s); left out: 4 hidden (")),
                           HasSubstr("2 without an image's suffix (README, …)\n")));
  }
  put(folder / "y/a.png", png_of(1));
  testing::internal::CaptureStderr();
  const ImageFiles images(folder / "y");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ImageFiles, LinksAreFollowed) {
  const TemporaryFolder folder;
  put(folder / "far/deep/a.png", png_of(1));
  put(folder / "x/b/b.png", png_of(2));
  fs::create_directory_symlink(folder / "far", folder / "x/a");
  fs::create_symlink(folder / "far/deep/a.png", folder / "x/b/c.png");
  fs::create_directory_symlink("x", folder / "link");
  EXPECT_THAT(values_of(ImageFiles(folder / "link")), ElementsAre(1, 2, 1));
}

TEST(ImageFiles, EveryFileThatIsNotReadIsNamed) {
  const TemporaryFolder folder;
  put(folder / "x/good.png", png_of(1));
  put(folder / "x/empty.png", "");
  put(folder / "x/page.jpg", "<html>404</html>");
  put(folder / "x/a/clip.gif", "GIF89a");
  fs::create_symlink(folder / "gone.png", folder / "x/dangling.png");
  fs::create_directory_symlink(folder / "x", folder / "x/a/around");
  fs::create_symlink("self", folder / "x/self");
  mkfifo((folder / "x/pipe.png").c_str(), 0600);
  EXPECT_THAT(complaint(folder / "x"),
              AllOf(HasSubstr("x/empty.png: empty file"), HasSubstr("x/page.jpg: no image of a known format"),
                    HasSubstr("x/a/clip.gif: images of this format are not read; convert it to PNG"),
                    HasSubstr("x/dangling.png: a link that leads nowhere"),
                    HasSubstr("x/a/around: a loop of links, it leads back to "),
                    HasSubstr("x/self: Too many levels of symbolic links"),
                    HasSubstr("x/pipe.png: neither a file"), Not(HasSubstr("good.png"))));
  EXPECT_THAT(complaint(folder / "x/self"), HasSubstr("x/self: neither a folder nor a .zip"));
  for (int i = 0; i < 12; ++i) put(folder / concat("y/bad", i, ".png"), "x");
  EXPECT_THAT(complaint(folder / "y"), HasSubstr("y: 2 more mistakes"));
}

TEST(ImageFiles, ABrokenImageIsFoundWhenItIsRead) {
  const TemporaryFolder folder;
  put_both(folder / "x", {{"a.png", png_of(2)}, {"b.png", png_of(1).substr(0, 40)}});
  for (const char* name : {"x", "x.zip"}) {
    const ImageFiles images(folder / name);
    EXPECT_THAT(message_of<InputError>([&] { images.read(1, 1); }),
                HasSubstr(concat(name, "/b.png: is a truncated PNG")));
    EXPECT_EQ(images.read(0, 3).sizes(), at::IntArrayRef({3, 2, 2}));
  }
  test::write_zip(folder / "x.zip", {{"a.npy", "x"}});
  EXPECT_THAT(complaint(folder / "x.zip"), HasSubstr("x.zip/a.npy: not a readable image"));
}

TEST(ImageFiles, LayoutsWithoutClearClassesAreRefused) {
  const TemporaryFolder folder;
  EXPECT_THAT(complaint(folder / "none"), HasSubstr("none: neither a folder nor a .zip"));
  EXPECT_THAT(complaint(folder.path()), HasSubstr("no images; expected PNG, JPEG"));
  const auto complaints = [&](const std::string& name) {
    EXPECT_EQ(complaint(folder / name).size(), complaint(folder / (name + ".zip")).size() - 4) << name;
    return complaint(folder / (name + ".zip"));
  };
  const std::string png = png_of(1);
  put_both(folder / "mixed", {{"b.png", png}, {"cats/a.png", png}, {"cats/b.png", png}});
  EXPECT_THAT(complaints("mixed"),
              HasSubstr("mixed.zip: images both beside folders (1, b.png) and inside (2, cats/a.png)"));
  EXPECT_EQ(ImageFiles(folder / "mixed", false).size(), 3);

  put_both(folder / "deep", {{"pets/cats/a.png", png}, {"pets/dogs/b.png", png}});
  EXPECT_THAT(complaints("deep"), HasSubstr("deep.zip: its only folder, pets, holds folders of images"));

  put(folder / "empty/cats/a.png", png);
  fs::create_directory(folder / "empty/dogs");
  test::write_zip(folder / "empty.zip", {{"cats/a.png", png}, {"dogs/", ""}});
  EXPECT_THAT(complaints("empty"), HasSubstr("empty.zip/dogs: a class without images"));
}

TEST(ImageFiles, ArchivesOfOtherSystemsAreRead) {
  const TemporaryFolder folder;
  test::write_zip(folder / "x.zip", {{"__MACOSX/", ""},
                                     {"__MACOSX/._a.png", "x"},
                                     {"cats\\a.png", png_of(1)},
                                     {"./dogs/a.png", png_of(2)}});
  const ImageFiles images(folder / "x.zip");
  EXPECT_THAT(values_of(images), ElementsAre(1, 2));
  EXPECT_THAT(labels_of(images), ElementsAre(0, 1));
  test::write_zip(folder / "y.zip", {{"./a.png", png_of(1)}, {"a.png", png_of(2)}});
  EXPECT_THAT(complaint(folder / "y.zip"), HasSubstr("y.zip/a.png: is there twice"));
}

// Chunk folders, as EDM's dataset_tool.py makes them.
test::ZipEntries edm_files(const std::string& labels) {
  return {{"00000/img00000000.png", png_of(1)},
          {"00000/img00000001.png", png_of(2)},
          {"00001/img00001000.png", png_of(3)},
          {"dataset.json", "{\"labels\": " + labels + "}"}};
}

TEST(ImageFiles, DatasetJsonGivesTheLabels) {
  const TemporaryFolder folder;
  put_both(folder / "x", edm_files(R"([["00001/img00001000.png", 0], ["00000/img00000000.png", 3],
                                       ["00000/img00000001.png", 1]])"));
  put_both(folder / "plain", edm_files("null"));
  for (const char* suffix : {"", ".zip"}) {
    const ImageFiles images(folder / concat("x", suffix));
    EXPECT_THAT(values_of(images), ElementsAre(1, 2, 3));
    EXPECT_THAT(labels_of(images), ElementsAre(3, 1, 0));
    EXPECT_EQ(images.classes(), 4);
    EXPECT_EQ(ImageFiles(folder / concat("x", suffix), false).classes(), 0);
    const ImageFiles plain(folder / concat("plain", suffix));
    EXPECT_THAT(values_of(plain), ElementsAre(1, 2, 3));
    EXPECT_EQ(plain.classes(), 0);
  }
}

TEST(ImageFiles, DatasetJsonMustFitTheImages) {
  const TemporaryFolder folder;
  const auto with = [&](const std::string& labels) {
    test::write_zip(folder / "x.zip", edm_files(labels));
    return complaint(folder / "x.zip");
  };
  const std::string two = R"(["00000/img00000000.png", 3], ["00000/img00000001.png", 1])";
  const auto third = [&](const std::string& label) {
    return with("[" + two + R"(, ["00001/img00001000.png", )" + label + "]]");
  };
  EXPECT_THAT(with("[" + two + "]"), HasSubstr("x.zip/dataset.json: gives 00001/img00001000.png no label"));
  EXPECT_THAT(third(R"(0], ["00002/gone.png", 0)"), HasSubstr("labels 00002/gone.png, which is not there"));
  EXPECT_THAT(third(R"(0], ["00001/img00001000.png", 2)"),
              HasSubstr("gives 00001/img00001000.png two labels"));
  for (const char* label :
       {"-1", "1.5", "2.0", "\"cat\"", "[0.1,0.9]", "1000000", "18446744073709551615", "true"}) {
    EXPECT_THAT(third(label),
                HasSubstr(concat("the label ", label, ", expected a class, an integer from 0")));
  }
  EXPECT_THAT(with("[[\"a.png\"]]"), HasSubstr("has the label [\"a.png\"], expected a pair [file, class]"));
  EXPECT_THAT(with("{}"), HasSubstr("x.zip/dataset.json: has no list \"labels\"; expected {\"labels\": [["));
  EXPECT_THAT(with("["), HasSubstr("is no JSON"));
  EXPECT_EQ(ImageFiles(folder / "x.zip", false).size(), 3);

  test::write_zip(folder / "x.zip", {{"x/a.png", png_of(1)}, {"x/dataset.json", "{\"labels\": null}"}});
  EXPECT_THAT(complaint(folder / "x.zip"), HasSubstr("x.zip/x/dataset.json: lies a folder too deep"));
}

std::unique_ptr<Dataset> open_image_folder(const std::string& path, int64_t size, int64_t channels,
                                           bool labels) {
  return open_dataset(
      {.kind = {"folder"}, .path = path, .image_size = size, .channels = channels, .labels = labels});
}

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

TEST(ImageFolder, IsAKindOfData) {
  const TemporaryFolder folder;
  const std::string png = encode_png(torch::zeros({3, 4, 4}, torch::kUInt8));
  test::write_zip(folder / "x.zip", {{"cats/a.png", png}, {"dogs/b.png", png}});
  for (const int64_t channels : {1, 3}) {
    test::expect_laws_of_a_kind(
        {.kind = {"folder"}, .path = folder / "x.zip", .image_size = 2, .channels = channels});
  }
}

}  // namespace
}  // namespace cm
