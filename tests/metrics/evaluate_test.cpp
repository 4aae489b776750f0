#include "cm/metrics/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/io/image.h"
#include "cm/metrics/digit_classifier.h"
#include "cm/metrics/frechet.h"
#include "cm/metrics/inception_score.h"
#include "metrics/classifier_file.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::kTiny;
using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<Metric> kFrechetAndRecall = {Metric::frechet, Metric::recall};
const std::vector<Metric> kAll = {Metric::frechet, Metric::precision, Metric::recall, Metric::class_accuracy};

ImageSet images(const std::string& path, int64_t count, uint64_t seed, const ImageShape& shape = kTiny) {
  const Tensor x =
      normal({.seed = seed}, sample_range(0, count), {shape.channels, shape.height, shape.width});
  return {.path = path, .pixels = to_uint8(x * 0.3), .labels = std::nullopt};
}

std::unique_ptr<FeatureExtractor> one_pixel_features() {
  const test::TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  return make_features({.source = (folder / "c.safetensors").string(), .resize = std::nullopt}, kTiny,
                       torch::kCPU);
}

std::map<std::string, double> scores_of(const ImageSet& samples, const ImageSet& reference,
                                        const FeatureExtractor& extractor, const EvaluationOptions& options) {
  std::map<std::string, double> scores;
  for (const auto& [name, value] : evaluate(samples, reference_of(reference), extractor, options))
    scores[name] = value;
  return scores;
}

std::string mistake(const ImageSet& samples, const ImageSet& reference, const EvaluationOptions& options) {
  const PixelFeatures pixels(samples.shape(), torch::kCPU);
  return message_of<InputError>([&] { evaluate(samples, reference_of(reference), pixels, options); });
}

TEST(Evaluate, ASetAgainstItselfIsPerfect) {
  ImageSet set = images("a.npz", 30, 1);
  set.labels = (from_uint8(set.pixels).select(2, 0).select(2, 0).flatten() > 0.5).to(torch::kInt64);
  const auto scores = scores_of(set, set, *one_pixel_features(), {.metrics = kAll, .batch_size = 7});
  EXPECT_NEAR(scores.at("frechet"), 0, 1e-9);
  EXPECT_DOUBLE_EQ(scores.at("precision"), 1);
  EXPECT_DOUBLE_EQ(scores.at("recall"), 1);
  EXPECT_DOUBLE_EQ(scores.at("class_accuracy"), 1);
}

TEST(Evaluate, FrechetIsThatOfThePixels) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  const auto moments = [](const ImageSet& set) { return moments_of(from_uint8(set.pixels).flatten(1)); };
  const PixelFeatures pixels(kTiny, torch::kCPU);
  const auto scores = scores_of(samples, reference, pixels, {});
  EXPECT_EQ(scores.size(), 1U);
  EXPECT_NEAR(scores.at("frechet"), frechet_distance(moments(samples), moments(reference)), 1e-12);
}

TEST(Evaluate, ClassAccuracyCountsTheLabelsThatAgree) {
  ImageSet samples = images("a.npz", 4, 1);
  samples.pixels.zero_();
  samples.labels = torch::tensor({0, 0, 0, 1}, torch::kInt64);  // black images are of class 0
  const auto scores =
      scores_of(samples, samples, *one_pixel_features(), {.metrics = {Metric::class_accuracy}});
  EXPECT_DOUBLE_EQ(scores.at("class_accuracy"), 0.75);
}

TEST(Evaluate, CalibrationRelatesFrechetToAGaussian) {
  const ImageSet samples = images("a.npz", 60, 1);
  const ImageSet reference = images("b.npz", 60, 2);
  const PixelFeatures pixels(kTiny, torch::kCPU);
  const auto scores = scores_of(samples, reference, pixels, {.calibrate = true, .seed = 4});
  EXPECT_GT(scores.at("frechet_floor"), 0);
  EXPECT_DOUBLE_EQ(scores.at("frechet_relative"), scores.at("frechet") / scores.at("frechet_gaussian"));
}

TEST(Evaluate, ParsesMetricNames) {
  EXPECT_THAT(parse_metrics({"recall", "frechet"}), ElementsAre(Metric::recall, Metric::frechet));
  EXPECT_THAT(message_of<InputError>([] { parse_metrics({"frechett"}); }),
              AllOf(HasSubstr("got 'frechett'"), HasSubstr("did you mean frechet?")));
  EXPECT_THAT(parse_metrics({"fid", "sfid", "is"}),
              ElementsAre(Metric::fid, Metric::sfid, Metric::inception_score));
}

// Counts the images whose features were asked for.
class CountingFeatures : public PixelFeatures {
 public:
  using PixelFeatures::PixelFeatures;
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override {
    images_ += pixels.size(0);
    return PixelFeatures::operator()(pixels, wanted);
  }
  int64_t images() const { return images_; }

 private:
  mutable int64_t images_ = 0;
};

TEST(Evaluate, AnEvaluatorComputesTheReferenceOnce) {
  const ImageSet reference = images("b.npz", 50, 2);
  const CountingFeatures features(kTiny, torch::kCPU);
  const EvaluationOptions options = {.metrics = {Metric::recall, Metric::frechet, Metric::precision}};
  Evaluator evaluator(reference_of(reference), features, options);
  for (const uint64_t seed : {1, 3}) {
    const ImageSet samples = images("a.npz", 40, seed);
    const auto together = evaluator.evaluate(samples);
    const auto alone = scores_of(samples, reference, PixelFeatures(kTiny, torch::kCPU), options);
    for (const auto& [name, value] : together) EXPECT_EQ(value, alone.at(name)) << name;
  }
  EXPECT_EQ(features.images(), 50 + 2 * 40);
}

// Stands in for Inception: pixels as features, three times those as spatial features, and as logits.
class PixelInception : public PixelFeatures {
 public:
  using PixelFeatures::PixelFeatures;
  bool is_inception() const override { return true; }
  Details details() const override { return {{kResizeDetail, "tensorflow"}}; }
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override {
    asked_.push_back(wanted);
    Activations all = PixelFeatures::operator()(pixels, wanted);
    const Tensor x = all.features;
    if (!wanted.features) all.features = Tensor();
    if (wanted.spatial) all.spatial = 3 * x;
    if (wanted.logits) all.logits = 3 * x;
    return all;
  }
  const std::vector<Wanted>& asked() const { return asked_; }

 private:
  mutable std::vector<Wanted> asked_;
};

TEST(Evaluate, InceptionHasFidSfidAndInceptionScore) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  const PixelInception inception(kTiny, torch::kCPU);
  const auto scores =
      scores_of(samples, reference, inception,
                {.metrics = {Metric::sfid, Metric::fid, Metric::inception_score, Metric::recall}});
  const auto pixels =
      scores_of(samples, reference, PixelFeatures(kTiny, torch::kCPU), {.metrics = kFrechetAndRecall});
  EXPECT_DOUBLE_EQ(scores.at("fid"), pixels.at("frechet"));
  EXPECT_NEAR(scores.at("sfid"), 9 * pixels.at("frechet"), 1e-5);
  EXPECT_DOUBLE_EQ(scores.at("recall"), pixels.at("recall"));
  const Tensor logits = 3 * from_uint8(samples.pixels).flatten(1).to(torch::kFloat64);
  EXPECT_NEAR(scores.at("is"), inception_score(logits.softmax(1)), 1e-6);
}

TEST(Evaluate, AsksForNoMoreThanTheMetricsNeed) {
  const ImageSet set = images("a.npz", 9, 1);
  const auto asked = [&](Metric metric) {
    const PixelInception inception(kTiny, torch::kCPU);
    evaluate(set, reference_of(set), inception, {.metrics = {metric}});
    std::vector<std::string> words;
    for (const Wanted& wanted : inception.asked()) {
      words.push_back(std::string(wanted.features ? "f" : "") + (wanted.spatial ? "s" : "") +
                      (wanted.logits ? "l" : ""));
    }
    return words;
  };
  EXPECT_THAT(asked(Metric::fid), ElementsAre("f", "f"));
  EXPECT_THAT(asked(Metric::sfid), ElementsAre("s", "s"));
  EXPECT_THAT(asked(Metric::inception_score), ElementsAre("l"));
}

TEST(Evaluate, TheInceptionScoreNeedsNoReference) {
  const ImageSet samples = images("a.npz", 40, 1);
  const PixelInception inception(kTiny, torch::kCPU);
  const EvaluationOptions score = {.metrics = {Metric::inception_score}};
  EXPECT_EQ(evaluate(samples, std::nullopt, inception, score).front().value,
            evaluate(samples, reference_of(samples), inception, score).front().value);
  const auto mistake_of = [&](const EvaluationOptions& options) {
    return message_of<InputError>([&] { evaluate(samples, std::nullopt, inception, options); });
  };
  EXPECT_THAT(mistake_of({.metrics = {Metric::inception_score, Metric::recall}}),
              HasSubstr("--reference is required: what the samples are compared with by recall"));
  EXPECT_THAT(mistake_of({.metrics = {Metric::inception_score}, .calibrate = true}),
              HasSubstr("add fid to the metrics"));
}

TEST(Evaluate, RefusesAMetricUnderTheWrongName) {
  const ImageSet set = images("a.npz", 9, 1);
  for (const Metric metric : {Metric::fid, Metric::sfid, Metric::inception_score}) {
    EXPECT_THAT(mistake(set, set, {.metrics = {metric}}),
                AllOf(HasSubstr("metric '" + to_string(metric) + "' is defined by Inception features"),
                      HasSubstr("these are pixels")));
  }
  const PixelInception inception(kTiny, torch::kCPU);
  EXPECT_THAT(message_of<InputError>(
                  [&] { evaluate(set, reference_of(set), inception, {.metrics = {Metric::frechet}}); }),
              HasSubstr("in Inception features the Fréchet distance is fid"));
}

TEST(Evaluate, KnowsWhichWayEachMetricIsBetter) {
  EXPECT_TRUE(is_better(Metric::frechet, 1, 2));
  EXPECT_FALSE(is_better(Metric::frechet, 2, 1));
  EXPECT_TRUE(is_better(Metric::fid, 1, 2));
  EXPECT_TRUE(is_better(Metric::sfid, 1, 2));
  for (const Metric share :
       {Metric::inception_score, Metric::precision, Metric::recall, Metric::class_accuracy}) {
    EXPECT_TRUE(is_better(share, 0.9, 0.8)) << to_string(share);
    EXPECT_FALSE(is_better(share, 0.8, 0.9)) << to_string(share);
  }
  EXPECT_FALSE(is_better(Metric::frechet, 1, 1));
  EXPECT_FALSE(is_better(Metric::recall, 1, 1));
}

TEST(Evaluate, RefusesSetsOfOtherShapes) {
  EXPECT_THAT(mistake(images("a.npz", 9, 1), images("b.npz", 9, 2, {3, 4, 4}), {}),
              AllOf(HasSubstr("a.npz: images of 1×2×2"), HasSubstr("b.npz has 3×4×4")));
}

TEST(Evaluate, RefusesTooFewImages) {
  EXPECT_THAT(mistake(images("a.npz", 1, 1), images("b.npz", 9, 2), {}),
              HasSubstr("a.npz: 1 image(s), but the Fréchet distance needs at least 2"));
  EXPECT_THAT(mistake(images("a.npz", 9, 1), images("b.npz", 3, 2), {.metrics = {Metric::recall}}),
              HasSubstr("b.npz: 3 image(s), but precision and recall with k = 3 needs at least 4"));
}

TEST(Evaluate, RefusesClassAccuracyWithoutLabelsOrClassifier) {
  const EvaluationOptions accuracy = {.metrics = {Metric::class_accuracy}};
  ImageSet set = images("a.npz", 9, 1);
  EXPECT_THAT(mistake(set, set, accuracy), HasSubstr("a.npz: class_accuracy needs the labels"));
  set.labels = torch::zeros({9}, torch::kInt64);
  EXPECT_THAT(mistake(set, set, accuracy), HasSubstr("needs a classifier, but the features are pixels"));
  set.labels = torch::full({9}, 7, torch::kInt64);
  EXPECT_THAT(
      message_of<InputError>([&] { evaluate(set, reference_of(set), *one_pixel_features(), accuracy); }),
      HasSubstr("labels reach from 7 to 7; the classifier knows 0 to 1"));
}

TEST(Evaluate, RefusesCalibrationWithoutFrechet) {
  const ImageSet set = images("a.npz", 9, 1);
  EXPECT_THAT(mistake(set, set, {.metrics = {Metric::recall}, .calibrate = true}),
              HasSubstr("add frechet to the metrics"));
  const PixelInception inception(kTiny, torch::kCPU);
  EXPECT_THAT(message_of<InputError>([&] {
                evaluate(set, reference_of(set), inception, {.metrics = {Metric::recall}, .calibrate = true});
              }),
              HasSubstr("add fid to the metrics"));
}

TEST(Evaluate, KidIsTheKernelDistanceWithItsDeviation) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  const auto scores =
      scores_of(samples, reference, PixelFeatures(kTiny, torch::kCPU), {.metrics = {Metric::kid}, .seed = 3});
  const auto features = [](const ImageSet& set) { return from_uint8(set.pixels).flatten(1); };
  const auto expected = kernel_distance(features(samples), features(reference), {.seed = 3});
  EXPECT_DOUBLE_EQ(scores.at("kid"), expected.mean);
  EXPECT_DOUBLE_EQ(scores.at("kid_deviation"), expected.deviation);
}

ReferenceStatistics image_statistics(const FeatureExtractor& features, const ImageSet& images,
                                     int64_t batch) {
  return statistics_of(images.header(), activations_of(images.pixels, features, {.spatial = true}, batch),
                       features);
}

TEST(Evaluate, StatisticsStandForTheReferencesImages) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet set = images("b.npz", 50, 2);
  const PixelInception inception(kTiny, torch::kCPU);
  const EvaluationOptions options = {.metrics = {Metric::fid, Metric::sfid}, .extrapolate = true};
  const Reference statistics{
      .path = "s.npz", .images = std::nullopt, .statistics = image_statistics(inception, set, 7)};
  const auto by_images = scores_of(samples, set, inception, options);
  for (const auto& [name, value] : evaluate(samples, statistics, inception, options)) {
    EXPECT_NEAR(value, by_images.at(name), 1e-9 * (1 + by_images.at(name))) << name;
  }
  EXPECT_TRUE(by_images.contains("fid_infinity"));
}

TEST(Evaluate, RefusesStatisticsThatDoNotServe) {
  const ImageSet samples = images("a.npz", 9, 1);
  const PixelInception inception(kTiny, torch::kCPU);
  const PixelFeatures pixels(kTiny, torch::kCPU);
  const auto refusal = [&](const ReferenceStatistics& statistics, const FeatureExtractor& features,
                           const EvaluationOptions& options) {
    const Reference reference{.path = "s.npz", .images = std::nullopt, .statistics = statistics};
    return message_of<InputError>([&] { evaluate(samples, reference, features, options); });
  };
  ReferenceStatistics statistics = image_statistics(inception, samples, 9);
  const EvaluationOptions fid = {.metrics = {Metric::fid}};
  EXPECT_THAT(refusal(statistics, inception, {.metrics = {Metric::recall}}),
              HasSubstr("s.npz: holds statistics and no images"));
  statistics.identity = R"({"name":"other"})";
  EXPECT_THAT(refusal(statistics, inception, fid),
              HasSubstr(R"(are of the features {"name":"other"}, not of)"));
  statistics.identity = "";
  EXPECT_THAT(refusal(statistics, pixels, {}),
              HasSubstr("taken for Inception's, but the features are pixels"));
  statistics.spatial.reset();
  EXPECT_THAT(refusal(statistics, inception, {.metrics = {Metric::sfid}, .resize_named = true}),
              HasSubstr("no mu_s and sigma_s"));
  statistics.features = {.mean = torch::zeros({3}, torch::kFloat64),
                         .covariance = torch::eye(3, torch::kFloat64)};
  EXPECT_THAT(refusal(statistics, inception, {.metrics = {Metric::fid}, .resize_named = true}),
              HasSubstr("are 3 wide, the features 4"));
}

// As PixelInception, by another rule of resizing.
class CleanPixelInception : public PixelInception {
 public:
  using PixelInception::PixelInception;
  Details details() const override { return {{kResizeDetail, "clean"}}; }
};

TEST(Evaluate, StatisticsCountUnderTheirOwnRuleOfResizing) {
  const ImageSet samples = images("a.npz", 9, 1);
  const PixelInception tensorflow(kTiny, torch::kCPU);
  const CleanPixelInception clean(kTiny, torch::kCPU);
  // "" where they are taken.
  const auto answer = [&](const ReferenceStatistics& statistics, const FeatureExtractor& features,
                          bool named) {
    const Reference reference{.path = "s.npz", .images = std::nullopt, .statistics = statistics};
    const EvaluationOptions options{.metrics = {Metric::fid}, .resize_named = named};
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

TEST(Evaluate, RefusesStatisticsOfASingleImage) {
  const PixelInception inception(kTiny, torch::kCPU);
  EXPECT_THAT(message_of<InputError>([&] { image_statistics(inception, images("a.npz", 1, 1), 1); }),
              HasSubstr("a.npz: 1 image(s), but statistics needs at least 2"));
}

TEST(Evaluate, WarnsOfTooFewImages) {
  const PixelFeatures pixels(kTiny, torch::kCPU);  // 4 wide
  const Evaluator evaluator(reference_of(images("b.npz", 4, 2)), pixels, {});
  EXPECT_THAT(evaluator.warnings(images("a.npz", 5, 1).header()),
              testing::ElementsAre(HasSubstr("4 reference images for features 4 wide")));
  EXPECT_THAT(evaluator.warnings(images("a.npz", 3, 1).header()), testing::SizeIs(2));
}

}  // namespace
}  // namespace cm
