#include "cm/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/io/npz.h"
#include "src/data/memory_dataset.h"
#include "support/message_of.h"
#include "support/shipped_data.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::kDigits;
using test::kPhotographs;
using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

std::string complaint(const DataOptions& options) {
  return message_of<InputError>([&] { open_dataset(options); });
}

TEST(OpenDataset, OpensEveryKind) {
  EXPECT_EQ(open_dataset({.kind = {"digits"}, .path = kDigits, .image_size = 8})->size(), 1797);

  const TemporaryFolder folder;
  write_file_atomically(folder / "c.bin", std::string(3073, '\0'));
  EXPECT_EQ(open_dataset({.kind = {"cifar10"}, .path = folder / "c.bin"})->image_size(), 32);

  save_npz(folder / "d.npz", {{"arr_0", torch::zeros({1, 4, 4, 1}, torch::kUInt8)}});
  EXPECT_EQ(open_dataset({.kind = {"npz"}, .path = folder / "d.npz"})->channels(), 1);

  write_png(folder / "a.png", torch::zeros({3, 9, 7}, torch::kUInt8));
  const DataOptions photos{.kind = {"folder"}, .path = folder.path(), .image_size = 2, .channels = 1};
  EXPECT_EQ(open_dataset(photos)->get(0).pixels.sizes(), at::IntArrayRef({1, 2, 2}));

  const auto patches = open_dataset({.kind = {"patches"}, .path = kPhotographs});
  EXPECT_EQ(patches->size(), 50'000);
  EXPECT_EQ(patches->get(0).pixels.sizes(), at::IntArrayRef({3, 32, 32}));
}

TEST(FirstExamples, AreThoseOfTheDatasetInItsOrder) {
  const auto digits = open_dataset({.path = kDigits});
  const Examples three = first_examples(*digits, 3);
  EXPECT_EQ(three.pixels.sizes(), at::IntArrayRef({3, 1, 8, 8}));
  EXPECT_TRUE(torch::equal(three.pixels[2], digits->get(2).pixels));
  EXPECT_TRUE(torch::equal(three.labels, torch::tensor({0, 1, 2})));
  const auto unlabelled = open_dataset({.path = kDigits, .labels = false});
  EXPECT_FALSE(first_examples(*unlabelled, 3).labels.defined());
  EXPECT_THROW(first_examples(*digits, 1798), c10::Error);
}

TEST(OpenDataset, SaysWhatAMissingPathShouldBe) {
  EXPECT_THAT(complaint({.kind = {"npz"}, .path = "/none.npz"}),
              AllOf(HasSubstr("/none.npz: not found"), HasSubstr("data.path must be an .npz file")));
}

TEST(OpenDataset, RefusesAnotherSizeThanIsStored) {
  EXPECT_THAT(complaint({.path = kDigits, .image_size = 16}),
              HasSubstr("are 8 pixels wide, but data.image_size is 16"));
}

// Digits are grey, CIFAR-10 is in colour, an archive as it is.
TEST(OpenDataset, SaysThatStoredChannelsStay) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "c.bin", std::string(3073, '\0'));
  save_npz(folder / "d.npz", {{"arr_0", torch::zeros({1, 4, 4, 3}, torch::kUInt8)}});
  DataOptions digits{.path = kDigits};
  DataOptions cifar10{.kind = {"cifar10"}, .path = folder / "c.bin"};
  DataOptions npz{.kind = {"npz"}, .path = folder / "d.npz"};
  for (DataOptions* options : {&digits, &cifar10, &npz}) {
    const int64_t stored = open_dataset(*options)->channels();
    for (const int64_t asked : {stored, 4 - stored}) {
      options->channels = asked;
      testing::internal::CaptureStderr();
      EXPECT_EQ(open_dataset(*options)->channels(), stored);
      const std::string said =
          asked == stored ? "" : concat(options->path, ": its images have ", stored, " channel(s)");
      const std::string line = testing::internal::GetCapturedStderr();
      EXPECT_EQ(line.empty(), asked == stored);
      EXPECT_THAT(line, HasSubstr(said));
    }
  }
}

TEST(DataOptions, AreCheckedTogether) {
  const std::string message = complaint({.kind = {"folder"}, .channels = 2});
  EXPECT_THAT(message, HasSubstr("data.path must be given: a folder of images"));
  EXPECT_THAT(message, HasSubstr("data.channels must be 1 (grey) or 3 (RGB), got 2"));
  EXPECT_THAT(message, HasSubstr("data.image_size must be given for image files"));
}

TEST(DataOptions, OfPatchesBelongToThem) {
  EXPECT_THAT(complaint({.path = kDigits, .patches = PatchOptions()}),
              HasSubstr("data.patches belongs to kind patches, but kind is digits"));
}

TEST(DataOptions, NameThePathOfEachKind) {
  EXPECT_THAT(complaint({.kind = {"digits"}}), HasSubstr("digits.csv.gz"));
  EXPECT_THAT(complaint({.kind = {"patches"}}), HasSubstr("data/photographs"));
  EXPECT_THAT(complaint({.kind = {"cifar10"}}), HasSubstr("cifar-10-batches-bin"));
  EXPECT_THAT(complaint({.kind = {"npz"}}), HasSubstr("arr_0"));
}

TEST(InMemoryDataset, ChecksWhatItIsGiven) {
  const Tensor pixels = torch::zeros({2, 1, 4, 4}, torch::kUInt8);
  EXPECT_THROW(InMemoryDataset(pixels.to(torch::kFloat32), Tensor(), 0), c10::Error);
  EXPECT_THROW(InMemoryDataset(pixels, torch::tensor({0, 1}), 0), c10::Error);
  EXPECT_THROW(InMemoryDataset(pixels, torch::tensor({0, 1, 2}), 3), c10::Error);
  EXPECT_THROW(InMemoryDataset(pixels, Tensor(), 0).get(2), c10::Error);
  EXPECT_THROW(InMemoryDataset(pixels, Tensor(), 0).get(-1), c10::Error);
}

}  // namespace
}  // namespace cm
