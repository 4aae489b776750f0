#include "cm/metrics/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/io/image.h"
#include "cm/io/npz.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using testing::HasSubstr;

const NpzArrays kStatistics = {{"mu", torch::zeros({2}, torch::kFloat64)},
                               {"sigma", torch::eye(2, torch::kFloat64)}};

TEST(Reference, IsImagesStatisticsOrBoth) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "r.npz";
  const NpzArrays images = {{"arr_0", torch::zeros({5, 4, 4, 3}, torch::kUInt8)}};

  save_npz(file, images);
  EXPECT_EQ(load_reference(file).images->size(), 5);
  EXPECT_FALSE(load_reference(file).statistics);

  save_npz(file, kStatistics);
  EXPECT_FALSE(load_reference(file).images);
  EXPECT_EQ(load_reference(file).statistics->features.mean.size(0), 2);

  NpzArrays both = kStatistics;
  both.insert(images.begin(), images.end());
  save_npz(file, both);
  EXPECT_TRUE(load_reference(file).images && load_reference(file).statistics);
  EXPECT_EQ(load_reference(file).path, file.string());
}

TEST(Reference, OfAFolderIsItsImages) {
  const test::TemporaryFolder folder;
  write_png(folder / "a.png", torch::zeros({3, 4, 4}, torch::kUInt8));
  EXPECT_EQ(load_reference(folder.path()).images->size(), 1);
  EXPECT_EQ(load_reference(folder.path()).path, folder.path().string());
}

TEST(Reference, RefusesAnNpzOfNeither) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "r.npz";
  save_npz(file, {{"x", torch::zeros({5})}});
  EXPECT_THAT(test::message_of<InputError>([&] { load_reference(file); }), HasSubstr("arr_0"));
}

}  // namespace
}  // namespace cm
