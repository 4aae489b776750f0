#include "cm/metrics/statistics_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/io/npz.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

std::optional<ReferenceStatistics> load_statistics(const std::filesystem::path& path) {
  return statistics_in(load_npz(path), path.string());
}

using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

GaussianMoments some_moments(int64_t width) {
  return moments_of(normal({.seed = 4}, sample_range(0, 20), {width}));
}

TEST(StatisticsFile, KeepsEveryBit) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a folder to be made" / "stats.npz";
  save_statistics(path, {.features = some_moments(5), .spatial = some_moments(3), .identity = "{\"σ\": 1}"});
  const auto read = load_statistics(path);
  ASSERT_TRUE(read && read->spatial);
  EXPECT_TRUE(torch::equal(read->features.mean, some_moments(5).mean));
  EXPECT_TRUE(torch::equal(read->features.covariance, some_moments(5).covariance));
  EXPECT_TRUE(torch::equal(read->spatial->covariance, some_moments(3).covariance));
  EXPECT_EQ(read->identity, "{\"σ\": 1}");
  save_statistics(path, {.features = some_moments(5), .spatial = std::nullopt});
  EXPECT_FALSE(load_statistics(path)->spatial);
  EXPECT_EQ(load_statistics(path)->identity, "");
}

TEST(StatisticsFile, ABatchOfImagesHasNone) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "batch.npz";
  save_npz(path, {{"arr_0", torch::zeros({2, 4, 4, 3}, torch::kUInt8)}});
  EXPECT_FALSE(load_statistics(path));
}

TEST(StatisticsFile, RefusesWhatIsNoGaussian) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "stats.npz";
  const auto refusal = [&](const NpzArrays& arrays) {
    save_npz(path, arrays);
    return message_of<InputError>([&] { load_statistics(path); });
  };
  const Tensor mean = torch::zeros({2}, torch::kFloat64);
  const Tensor identity = torch::eye(2, torch::kFloat64);
  EXPECT_THAT(refusal({{"mu", mean}}), AllOf(HasSubstr("stats.npz"), HasSubstr("has mu but no sigma")));
  EXPECT_THAT(refusal({{"mu", mean}, {"sigma", identity}, {"sigma_s", identity}}),
              HasSubstr("has sigma_s but no mu_s"));
  EXPECT_THAT(refusal({{"mu", mean}, {"sigma", torch::eye(3, torch::kFloat64)}}),
              HasSubstr("mu is 2 wide, but its covariance"));
  EXPECT_THAT(refusal({{"mu", mean}, {"sigma", identity * std::numeric_limits<double>::infinity()}}),
              HasSubstr("NaN or infinite"));
  EXPECT_THAT(refusal({{"mu", mean}, {"sigma", torch::arange(4, torch::kFloat64).reshape({2, 2})}}),
              HasSubstr("is not symmetric"));
}

}  // namespace
}  // namespace cm
