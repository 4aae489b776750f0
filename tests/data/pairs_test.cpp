#include "cm/data/pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>

#include "cm/base/error.h"
#include "cm/data/loader.h"
#include "cm/io/image.h"
#include "cm/io/safetensors.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/random_pairs.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::RandomPairs;
using test::save_random_pairs;
using test::TemporaryFolder;
using testing::HasSubstr;

PairSet small_set() {
  return {.count = 10,
          .channels = 3,
          .image_size = 2,
          .classes = 4,
          .sigma_max = 80,
          .guidance = 1.5,
          .made_by = "a test"};
}

std::string pairs_complaint(const std::filesystem::path& folder) {
  return message_of<InputError>([&] { PairDataset(folder, true); });
}

TEST(Pairs, AFileHasAThousandOrSixtyFourMegabytes) {
  const auto sizes = [](const PairSet& set) {
    std::vector<int64_t> counts;
    int64_t next = 0;
    for (const SetFile& file : files_of(set, "out")) {
      EXPECT_EQ(file.first, next);
      next += file.count;
      counts.push_back(file.count);
    }
    return counts;
  };
  EXPECT_THAT(sizes({.count = 2500, .channels = 1, .image_size = 8}), testing::ElementsAre(1024, 1024, 452));
  EXPECT_THAT(sizes({.count = 1024, .channels = 3, .image_size = 64}), testing::ElementsAre(682, 342));
  EXPECT_THAT(sizes({.count = 3, .channels = 3, .image_size = 4096}), testing::ElementsAre(1, 1, 1));
  const auto files = files_of({.count = 2048, .channels = 1, .image_size = 8}, "out");
  EXPECT_EQ(files[1].path, "out/pairs-000001.safetensors");
}

TEST(Pairs, ReadAsTheyWereSaved) {
  const TemporaryFolder folder;
  const PairSet set = small_set();
  const RandomPairs saved = save_random_pairs(folder.path(), set, 4);
  const PairDataset pairs(folder.path(), true);
  EXPECT_EQ(pairs.pairs(), &pairs);
  EXPECT_EQ(pairs.size(), 10);
  EXPECT_EQ(pairs.channels(), 3);
  EXPECT_EQ(pairs.image_size(), 2);
  EXPECT_EQ(pairs.classes(), 4);
  EXPECT_EQ(pairs.set().sigma_max, 80);
  EXPECT_EQ(pairs.set().guidance, 1.5);
  EXPECT_EQ(pairs.set().made_by, "a test");
  for (int64_t i = 0; i < 10; ++i) {
    const Tensor x_T = torch::empty({3, 2, 2});
    const Tensor x = torch::empty({3, 2, 2});
    EXPECT_EQ(pairs.read(i, x_T.data_ptr<float>(), x.data_ptr<float>()), i % 4);
    EXPECT_TRUE(torch::equal(x_T, saved.x_T[i])) << i;
    EXPECT_TRUE(torch::equal(x, saved.x[i])) << i;
    const Example image = pairs.get(i);
    EXPECT_EQ(image.label, i % 4);
    EXPECT_TRUE(torch::equal(image.pixels, to_uint8(saved.x[i])));
  }
  EXPECT_THROW(pairs.get(10), c10::Error);
}

// Each with its own noise and label, in the order of any data.
TEST(Pairs, ALoaderGivesBothSides) {
  const TemporaryFolder folder;
  const RandomPairs saved = save_random_pairs(folder.path(), small_set(), 4);
  const PairDataset pairs(folder.path(), true);
  Loader loader(pairs, {.batch_size = 6, .part = 1, .parts = 2, .seed = 3, .workers = 3});
  const auto order = permutation({.seed = 3, .purpose = Purpose::data_order}, 10);
  const Batch batch = loader.next();
  const Tensor rows = torch::tensor({order[3], order[4], order[5]});
  EXPECT_TRUE(torch::equal(batch.x, saved.x.index_select(0, rows)));
  EXPECT_TRUE(torch::equal(batch.x_T, saved.x_T.index_select(0, rows)));
  EXPECT_TRUE(torch::equal(batch.labels, saved.labels.index_select(0, rows)));
}

// What the program has allocated and not freed. Its resident memory would be no measure: the allocator gives
// freed memory back when it likes.
int64_t held_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

// 24 KB a pair: 48 MB in all, of which a loader has some batches.
TEST(Pairs, AreNotHeldInMemory) {
  const TemporaryFolder folder;
  const PairSet set{.count = 2048, .channels = 3, .image_size = 32, .sigma_max = 80};
  { const RandomPairs written = save_random_pairs(folder.path(), set, 1024); }
  constexpr int64_t kAllowed = 8 << 20;
  const int64_t before = held_bytes();
  const PairDataset pairs(folder.path(), true);
  Loader loader(pairs, {.batch_size = 32, .prefetch = 2});
  for (int i = 0; i < 128; ++i) loader.next();
  EXPECT_LT(held_bytes() - before, kAllowed);
}

TEST(Pairs, WithoutLabelsThereAreNoClasses) {
  const TemporaryFolder folder;
  save_random_pairs(folder.path(), small_set(), 10);
  const PairDataset pairs(folder.path(), /*labels=*/false);
  EXPECT_EQ(pairs.classes(), 0);
  EXPECT_EQ(pairs.get(3).label, 0);
}

TEST(Pairs, ASetIsWhole) {
  const TemporaryFolder folder;
  EXPECT_THAT(pairs_complaint(folder.path()),
              HasSubstr("has no pairs-000000.safetensors; data.path must be a folder of pairs, which"));
  EXPECT_THAT(pairs_complaint(folder / "digits.npz"), HasSubstr("digits.npz: has no pairs-000000"));
  save_random_pairs(folder.path(), small_set(), 4);
  std::filesystem::remove(folder / "pairs-000001.safetensors");
  EXPECT_THAT(pairs_complaint(folder.path()), HasSubstr("has 4 of 10 pairs; the cm-sample that made them"));
}

TEST(Pairs, ASetIsOne) {
  const TemporaryFolder folder;
  save_random_pairs(folder.path(), small_set(), 4);
  PairSet other = small_set();
  EXPECT_NO_THROW(refuse_other_pairs(folder.path(), other));
  EXPECT_NO_THROW(refuse_other_pairs(folder / "nowhere", other));
  other.made_by = "another test";
  const RandomPairs two = test::random_pairs(other);
  save_pairs({folder / "pairs-000002.safetensors", 8, 2}, other, two.x_T.narrow(0, 8, 2),
             two.x.narrow(0, 8, 2), two.labels.narrow(0, 8, 2));
  EXPECT_THAT(
      pairs_complaint(folder.path()),
      HasSubstr("000002.safetensors: holds pairs of another set than pairs-000000.safetensors beside"));
  EXPECT_THAT(message_of<InputError>([&] { refuse_other_pairs(folder.path(), other); }),
              HasSubstr("000000.safetensors: holds pairs that were made otherwise; name another folder"));
}

// A folder with a file of these tensors and metadata.
void open_file_of(const NamedTensors& tensors, const Metadata& metadata) {
  const TemporaryFolder folder;
  save_safetensors(folder / "pairs-000000.safetensors", tensors, metadata);
  const PairDataset pairs(folder.path(), true);
}

std::string file_complaint(const NamedTensors& tensors, const Metadata& metadata) {
  return message_of<InputError>([&] { open_file_of(tensors, metadata); });
}

TEST(Pairs, OthersFilesAreRefused) {
  const Tensor images = torch::zeros({2, 1, 4, 4});
  const Tensor labels = torch::tensor({0, 2});
  const auto set = [](const std::string& text) { return Metadata{{"pairs", text}}; };
  const Metadata good = set(R"({"count": 2, "channels": 1, "image_size": 4, "classes": 3, "sigma_max": 80})");
  EXPECT_NO_THROW(open_file_of({{"x_T", images}, {"x", images}, {"labels", labels}}, good));
  EXPECT_THAT(file_complaint({{"x", images}}, {}),
              HasSubstr("its metadata say of no set of pairs (key pairs"));
  EXPECT_THAT(
      file_complaint({{"x", images}}, set(R"({"count": 2})")),
      HasSubstr("pairs in its metadata must have count, channels, image_size, classes and sigma_max"));
  EXPECT_THAT(file_complaint({{"x", images}}, set(R"({"count": -1})")),
              HasSubstr("pairs.count must be in [1, 10000000], got -1"));
  EXPECT_THAT(file_complaint({{"x", images}}, good), HasSubstr("has no tensor x_T"));
  EXPECT_THAT(file_complaint({{"x_T", images}}, good), HasSubstr("has no tensor x"));
  EXPECT_THAT(file_complaint({{"x_T", images}, {"x", images.narrow(0, 0, 1)}}, good),
              HasSubstr("x is F32 [1, 1, 4, 4], expected F32 [2, 1, 4, 4] of this set"));
  EXPECT_THAT(file_complaint({{"x_T", images.to(torch::kFloat16)}, {"x", images}}, good),
              HasSubstr("x_T is F16 [2, 1, 4, 4], expected F32"));
  EXPECT_THAT(file_complaint({{"x_T", images}, {"x", images}}, good), HasSubstr("has no tensor labels"));
  EXPECT_THAT(file_complaint({{"x_T", images}, {"x", images}, {"labels", labels + 1}}, good),
              HasSubstr("labels has class 3, expected 0 to 2"));
  EXPECT_THAT(file_complaint({{"x_T", images}, {"x", images}, {"labels", labels - 1}}, good),
              HasSubstr("labels has class -1, expected 0 to 2"));
}

TEST(Pairs, AFileThatGoesAwayIsNamed) {
  const TemporaryFolder folder;
  save_random_pairs(folder.path(), small_set(), 10);
  const PairDataset pairs(folder.path(), true);
  std::filesystem::resize_file(folder / "pairs-000000.safetensors", 500);
  EXPECT_THAT(message_of<InputError>([&] { pairs.get(9); }),
              HasSubstr("pairs-000000.safetensors: could not be read"));
}

TEST(Pairs, AreNotMirrored) {
  const TemporaryFolder folder;
  save_random_pairs(folder.path(), small_set(), 10);
  EXPECT_THAT(message_of<InputError>([&] {
                open_dataset({.kind = kPairsKind, .path = folder.path(), .horizontal_flip = true});
              }),
              HasSubstr("data.horizontal_flip must be false for pairs"));
  const PairDataset pairs(folder.path(), true);
  EXPECT_THROW(Loader(pairs, {.horizontal_flip = true}), c10::Error);
}

TEST(Pairs, AreAKindOfData) {
  const TemporaryFolder folder;
  save_random_pairs(folder.path(), small_set(), 10);
  test::expect_laws_of_a_kind({.kind = kPairsKind, .path = folder.path()});
}

}  // namespace
}  // namespace cm
