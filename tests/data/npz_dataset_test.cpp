#include "cm/data/npz_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/io/npz.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

Tensor some_images() {
  return torch::arange(2 * 4 * 4 * 3).to(torch::kUInt8).view({2, 4, 4, 3});
}

std::unique_ptr<Dataset> reopened(const NpzArrays& arrays, bool labels = true) {
  const TemporaryFolder folder;
  save_npz(folder / "d.npz", arrays);
  return npz_kind().open({.path = folder / "d.npz", .labels = labels});
}

std::string complaint(const NpzArrays& arrays) {
  return message_of<InputError>([&] { reopened(arrays); });
}

TEST(NpzDataset, PutsTheChannelsFirst) {
  const auto data = reopened({{"arr_0", some_images()}});
  EXPECT_EQ(data->size(), 2);
  EXPECT_EQ(data->channels(), 3);
  EXPECT_EQ(data->image_size(), 4);
  EXPECT_EQ(data->classes(), 0);
  EXPECT_EQ(data->get(1).label, 0);
  EXPECT_TRUE(torch::equal(data->get(1).pixels, some_images()[1].permute({2, 0, 1})));
}

TEST(NpzDataset, CountsClassesUpToTheLargest) {
  for (const auto type : {torch::kInt8, torch::kInt16, torch::kInt32, torch::kInt64, torch::kUInt8,
                          torch::kUInt16, torch::kUInt32, torch::kUInt64}) {
    const NpzArrays arrays = {{"arr_0", some_images()}, {"arr_1", torch::tensor({5, 2}).to(type)}};
    const auto data = reopened(arrays);
    EXPECT_EQ(data->classes(), 6);
    EXPECT_EQ(data->get(0).label, 5);
    EXPECT_EQ(reopened(arrays, false)->classes(), 0);
  }
}

TEST(NpzDataset, RefusesOtherArrays) {
  EXPECT_THAT(complaint({{"images", some_images()}}), HasSubstr("d.npz: no array arr_0"));
  EXPECT_THAT(complaint({{"arr_0", some_images().to(torch::kFloat32)}}),
              HasSubstr("arr_0 is Float [2, 4, 4, 3]"));
  EXPECT_THAT(complaint({{"arr_0", some_images().slice(1, 0, 3)}}), HasSubstr("expected square images"));
  EXPECT_THAT(complaint({{"arr_0", some_images().slice(3, 0, 2)}}), HasSubstr("with C = 1 or 3"));
  EXPECT_THAT(complaint({{"arr_0", some_images().slice(0, 0, 0)}}), HasSubstr("arr_0 is Byte [0, 4, 4, 3]"));
}

TEST(NpzDataset, RefusesLabelsThatAreNoClasses) {
  const Tensor images = some_images();
  EXPECT_THAT(complaint({{"arr_0", images}, {"arr_1", torch::tensor({0, 1, 2})}}),
              HasSubstr("arr_1 is Long [3], expected the classes, integers [2]"));
  EXPECT_THAT(complaint({{"arr_0", images}, {"arr_1", torch::tensor({0.0, 1.0})}}), HasSubstr("arr_1 is "));
  EXPECT_THAT(complaint({{"arr_0", images}, {"arr_1", torch::tensor({true, false})}}),
              HasSubstr("arr_1 is Bool"));
  EXPECT_THAT(complaint({{"arr_0", images}, {"arr_1", torch::tensor({0, -1})}}),
              HasSubstr("arr_1 has class -1"));
  EXPECT_THAT(complaint({{"arr_0", images}, {"arr_1", torch::tensor({0, 1'000'000})}}),
              HasSubstr("arr_1 has class 1000000"));
}

TEST(NpzDataset, IsAKindOfData) {
  const TemporaryFolder folder;
  save_npz(folder / "d.npz", {{"arr_0", some_images()}, {"arr_1", torch::tensor({5, 2})}});
  test::expect_laws_of_a_kind({.kind = {"npz"}, .path = folder / "d.npz"});
}

}  // namespace
}  // namespace cm
