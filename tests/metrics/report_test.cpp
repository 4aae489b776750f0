#include "cm/metrics/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metrics/classifier_file.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using testing::HasSubstr;

ImageSet set_of(const std::string& path, int64_t count) {
  return {.path = path, .pixels = torch::zeros({count, 1, 2, 2}, torch::kUInt8), .labels = std::nullopt};
}

Json pixel_report(const EvaluationOptions& options) {
  const PixelFeatures pixels({1, 2, 2}, torch::kCPU);
  return report_of({{"frechet", 1.25}, {"recall", 0.5}}, set_of("a.npz", 3).header(),
                   reference_of(set_of("b.npz", 9)), pixels, options);
}

TEST(Report, HasScoresAndWhereTheyComeFrom) {
  const Json expected = Json::parse(R"({
    "frechet": 1.25, "recall": 0.5,
    "features": {"name": "pixels", "width": 4, "file": null, "sha256": null},
    "samples": {"path": "a.npz", "count": 3}, "reference": {"path": "b.npz", "count": 9, "statistics": false},
    "image_shape": [1, 2, 2], "seed": 0, "warnings": []})");
  EXPECT_EQ(pixel_report({}), expected);
}

TEST(Report, SaysHowTheCalibrationWasMade) {
  const Json report = pixel_report({.calibrate = true, .seed = 5});
  EXPECT_EQ(report.at("calibration"),
            Json::parse(R"({"floor_splits": 5, "floor_half": 4, "gaussian_samples": 3, "seed": 5})"));
  EXPECT_THAT(table_of(report), HasSubstr("random halves of 4 images, mean of 5 splits"));
}

TEST(Report, NamesTheFeaturesFileByItsDigest) {
  const test::TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  const auto classifier = make_features(
      {.source = (folder / "c.safetensors").string(), .resize = std::nullopt}, {1, 2, 2}, torch::kCPU);
  const Json report = report_of({}, set_of("a", 2).header(), reference_of(set_of("b", 2)), *classifier, {});
  EXPECT_EQ(report.at("features").at("file"), (folder / "c.safetensors").string());
  EXPECT_EQ(report.at("features").at("sha256").get<std::string>().size(), 64U);
  EXPECT_THAT(table_of(report), HasSubstr("digit_classifier, 2 wide, from "));
}

class ResizingFeatures : public PixelFeatures {
 public:
  using PixelFeatures::PixelFeatures;
  bool is_inception() const override { return true; }
  Details details() const override { return {{"resize", "clean"}, {"source_sha256", "12ab"}}; }
};

TEST(Report, HasTheDetailsOfTheFeatures) {
  const ResizingFeatures features({1, 2, 2}, torch::kCPU);
  const Json report = report_of({{"fid", 1.0}}, set_of("a", 2).header(), reference_of(set_of("b", 2)),
                                features, {.calibrate = true});
  EXPECT_EQ(report.at("features").at("resize"), "clean");
  EXPECT_EQ(report.at("features").at("source_sha256"), "12ab");
  EXPECT_THAT(table_of(report), HasSubstr("4 wide, images resized as clean"));
  EXPECT_THAT(table_of(report), HasSubstr("fid_relative:     fid / fid_gaussian"));
}

TEST(Report, TableHasALineAScore) {
  const std::string table = table_of(pixel_report({}));
  EXPECT_EQ(table,
            "frechet           1.25\nrecall            0.5\nsamples           3 images, a.npz\n"
            "features          pixels, 4 wide\nreference         9 images, b.npz\n");
}

TEST(Report, SaysHowTheInceptionScoreIsSplitAndThatThereIsNoReference) {
  const PixelFeatures pixels({1, 2, 2}, torch::kCPU);
  Json report = report_of({{"is", 2.5}}, set_of("a.npz", 3).header(), std::nullopt, pixels, {});
  EXPECT_EQ(report.at("is_split"), 5000);
  EXPECT_TRUE(report.at("reference").is_null());
  EXPECT_EQ(scores_in(report), std::vector<std::string>{"is"});
  report["samples"].update(Json{{"sampler", "heun"}, {"evaluations", 35}});
  EXPECT_EQ(table_of(report),
            "is                2.5\nsamples           3 images, a.npz, by heun, 35 evaluation(s) each\n"
            "features          pixels, 4 wide\n");
}

}  // namespace
}  // namespace cm
