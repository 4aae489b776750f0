#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/metrics/evaluate.h"
#include "metrics/evaluated.h"
#include "support/message_of.h"

// References that are the statistics of their images.
namespace cm {
namespace {

using test::evaluate;
using test::image_statistics;
using test::images;
using test::kTiny;
using test::message_of;
using test::PixelInception;
using test::scores_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(EvaluateStatistics, StatisticsStandForTheReferencesImages) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet set = images("b.npz", 50, 2);
  const PixelInception inception(kTiny, torch::kCPU);
  const EvaluationOptions options = {.metrics = {"fid", "sfid"}, .extrapolate = true};
  const Reference statistics{
      .path = "s.npz", .images = std::nullopt, .statistics = image_statistics(inception, set, 7)};
  const auto by_images = scores_of(samples, set, inception, options);
  for (const auto& [name, value] : evaluate(samples, statistics, inception, options)) {
    EXPECT_NEAR(value, by_images.at(name), 1e-9 * (1 + by_images.at(name))) << name;
  }
  EXPECT_TRUE(by_images.contains("fid_infinity"));
}

TEST(EvaluateStatistics, RefusesStatisticsThatDoNotServe) {
  const ImageSet samples = images("a.npz", 9, 1);
  const PixelInception inception(kTiny, torch::kCPU);
  const PixelFeatures pixels(kTiny, torch::kCPU);
  const auto refusal = [&](const ReferenceStatistics& statistics, const FeatureExtractor& features,
                           const EvaluationOptions& options) {
    const Reference reference{.path = "s.npz", .images = std::nullopt, .statistics = statistics};
    return message_of<InputError>([&] { evaluate(samples, reference, features, options); });
  };
  ReferenceStatistics statistics = image_statistics(inception, samples, 9);
  const EvaluationOptions fid = {.metrics = {"fid"}};
  EXPECT_THAT(refusal(statistics, inception, {.metrics = {"recall"}}),
              HasSubstr("s.npz: holds statistics and no images"));
  statistics.identity = R"({"name":"other"})";
  EXPECT_THAT(refusal(statistics, inception, fid),
              HasSubstr(R"(are of the features {"name":"other"}, not of)"));
  statistics.identity = "";
  EXPECT_THAT(refusal(statistics, pixels, {}),
              HasSubstr("taken for Inception's, but the features are pixels"));
  statistics.spatial.reset();
  EXPECT_THAT(refusal(statistics, inception, {.metrics = {"sfid"}, .resize_named = true}),
              HasSubstr("no mu_s and sigma_s"));
  statistics.features = {.mean = torch::zeros({3}, torch::kFloat64),
                         .covariance = torch::eye(3, torch::kFloat64)};
  EXPECT_THAT(refusal(statistics, inception, {.metrics = {"fid"}, .resize_named = true}),
              HasSubstr("are 3 wide, the features 4"));
}

// As PixelInception, by another rule of resizing.
class CleanPixelInception : public PixelInception {
 public:
  using PixelInception::PixelInception;
  Details details() const override { return {{kResizeDetail, "clean"}}; }
};

TEST(EvaluateStatistics, StatisticsCountUnderTheirOwnRuleOfResizing) {
  const ImageSet samples = images("a.npz", 9, 1);
  const PixelInception tensorflow(kTiny, torch::kCPU);
  const CleanPixelInception clean(kTiny, torch::kCPU);
  // "" where they are taken.
  const auto answer = [&](const ReferenceStatistics& statistics, const FeatureExtractor& features,
                          bool named) {
    const Reference reference{.path = "s.npz", .images = std::nullopt, .statistics = statistics};
    const EvaluationOptions options{.metrics = {"fid"}, .resize_named = named};
    try {
      evaluate(samples, reference, features, options);
    } catch (const InputError& mistake) {
      return std::string(mistake.what());
    }
    return std::string();
  };
  const ReferenceStatistics ours = image_statistics(clean, samples, 9);
  EXPECT_EQ(answer(ours, clean, false), "");
  for (const bool named : {false, true}) {
    EXPECT_THAT(answer(ours, tensorflow, named),
                HasSubstr("s.npz: the statistics are of images resized as clean, not as tensorflow; give "
                          "--resize clean"));
  }
  ReferenceStatistics elsewhere = ours;  // other features may call their rules anything
  elsewhere.identity = R"({"name":"dinov2","resize":"torch"})";
  EXPECT_THAT(answer(elsewhere, tensorflow, false),
              HasSubstr(R"(are of the features {"name":"dinov2","resize":"torch"}, not of)"));
  ReferenceStatistics official = ours;
  official.identity = "";
  EXPECT_EQ(answer(official, tensorflow, false), "");
  EXPECT_THAT(answer(official, clean, true),
              HasSubstr("resized as tensorflow (mu_s is the official evaluator's), not as clean"));
  ReferenceStatistics others = official;  // as pytorch-fid and clean-fid write them
  others.spatial.reset();
  EXPECT_THAT(answer(others, tensorflow, false),
              AllOf(HasSubstr("s.npz: these statistics do not say how their images were resized"),
                    HasSubstr("say so with --resize: pytorch for pytorch-fid's")));
  EXPECT_EQ(answer(others, tensorflow, true), "");
  EXPECT_EQ(answer(others, clean, true), "");
}

TEST(EvaluateStatistics, RefusesStatisticsOfASingleImage) {
  const PixelInception inception(kTiny, torch::kCPU);
  EXPECT_THAT(message_of<InputError>([&] { image_statistics(inception, images("a.npz", 1, 1), 1); }),
              HasSubstr("a.npz: 1 image(s), but statistics needs at least 2"));
}

}  // namespace
}  // namespace cm
