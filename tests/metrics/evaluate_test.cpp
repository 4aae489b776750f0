#include "cm/metrics/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/io/image.h"
#include "metrics/classifier_file.h"
#include "metrics/evaluated.h"
#include "src/metrics/calibration.h"
#include "src/metrics/digit_classifier.h"
#include "src/metrics/frechet.h"
#include "src/metrics/frechet_extrapolation.h"
#include "src/metrics/inception_score.h"
#include "src/metrics/kernel_distance.h"
#include "src/metrics/metric.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

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
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

const std::vector<std::string> kFrechetAndRecall = {"frechet", "recall"};
std::unique_ptr<FeatureExtractor> one_pixel_features() {
  static const test::TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  return make_features({.source = (folder / "c.safetensors").string(), .resize = std::nullopt}, kTiny,
                       torch::kCPU);
}

std::string mistake(const ImageSet& samples, const ImageSet& reference, const EvaluationOptions& options) {
  const PixelFeatures pixels(samples.shape(), torch::kCPU);
  return message_of<InputError>([&] { evaluate(samples, reference_of(reference), pixels, options); });
}

// The classes that one_pixel_features sees.
ImageSet labelled_images(const std::string& path, int64_t count, uint64_t seed) {
  ImageSet set = images(path, count, seed);
  set.labels = (from_uint8(set.pixels).select(2, 0).select(2, 0).flatten() > 0.5).to(torch::kInt64);
  return set;
}

TEST(Evaluate, ASetAgainstItselfIsPerfect) {
  const ImageSet set = labelled_images("a.npz", 30, 1);
  const std::vector<std::string> metrics = {"frechet", "precision", "recall", "class_accuracy"};
  const auto scores = scores_of(set, set, *one_pixel_features(), {.metrics = metrics, .batch_size = 7});
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
  const auto scores = scores_of(samples, samples, *one_pixel_features(), {.metrics = {"class_accuracy"}});
  EXPECT_DOUBLE_EQ(scores.at("class_accuracy"), 0.75);
}

Tensor flat_pixels(const Tensor& pixels) {
  return from_uint8(pixels).flatten(1);
}

TEST(Evaluate, CalibrationRelatesFrechetToAGaussian) {
  const ImageSet samples = images("a.npz", 60, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  const PixelFeatures pixels(kTiny, torch::kCPU);
  const auto scores =
      scores_of(samples, reference, pixels, {.calibrate = true, .extrapolate = true, .seed = 4});
  const auto truth = moments_of(flat_pixels(reference.pixels));
  EXPECT_DOUBLE_EQ(scores.at("frechet_floor"), frechet_floor(flat_pixels(reference.pixels), 4));
  const Tensor drawn = gaussian_images(reference.pixels, 60, 4);
  EXPECT_DOUBLE_EQ(scores.at("frechet_gaussian"), frechet_distance(moments_of(flat_pixels(drawn)), truth));
  EXPECT_DOUBLE_EQ(scores.at("frechet_relative"), scores.at("frechet") / scores.at("frechet_gaussian"));
  EXPECT_DOUBLE_EQ(scores.at("frechet_infinity"),
                   extrapolated_frechet(flat_pixels(samples.pixels), rooted(truth), 4));
}

TEST(Evaluate, RefusesAMetricThatThereIsNot) {
  const ImageSet set = images("a.npz", 9, 1);
  std::vector<std::string> names;
  for (const Metric& metric : metric_table()) names.emplace_back(metric.name);
  const auto refused =
      HasSubstr(concat("metric must be one of {", join(names), "}, got 'frechett' (did you mean frechet?)"));
  EXPECT_THAT(mistake(set, set, {.metrics = {"frechett"}}), refused);
  EXPECT_THAT(message_of<InputError>([] { is_better("frechett", 1, 2); }), refused);
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
  const EvaluationOptions options = {.metrics = {"recall", "frechet", "precision"}};
  Evaluator evaluator(reference_of(reference), features, options);
  for (const uint64_t seed : {1, 3}) {
    const ImageSet samples = images("a.npz", 40, seed);
    const auto together = evaluator.evaluate(samples);
    const auto alone = scores_of(samples, reference, PixelFeatures(kTiny, torch::kCPU), options);
    for (const auto& [name, value] : together) EXPECT_EQ(value, alone.at(name)) << name;
  }
  EXPECT_EQ(features.images(), 50 + 2 * 40);
}

TEST(Evaluate, InceptionHasFidSfidAndInceptionScore) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  const PixelInception inception(kTiny, torch::kCPU);
  const auto scores = scores_of(samples, reference, inception, {.metrics = {"sfid", "fid", "is", "recall"}});
  const auto pixels =
      scores_of(samples, reference, PixelFeatures(kTiny, torch::kCPU), {.metrics = kFrechetAndRecall});
  EXPECT_DOUBLE_EQ(scores.at("fid"), pixels.at("frechet"));
  EXPECT_NEAR(scores.at("sfid"), 9 * pixels.at("frechet"), 1e-5);
  EXPECT_DOUBLE_EQ(scores.at("recall"), pixels.at("recall"));
  const Tensor logits = 3 * from_uint8(samples.pixels).flatten(1).to(torch::kFloat64);
  EXPECT_NEAR(scores.at("is"), inception_score(logits.softmax(1)), 1e-6);
}

// One of each kind of features, which have all metrics together.
std::vector<std::shared_ptr<const FeatureExtractor>> all_features() {
  return {std::make_shared<PixelFeatures>(kTiny, torch::kCPU), one_pixel_features(),
          std::make_shared<PixelInception>(kTiny, torch::kCPU)};
}

// The rows of the metrics that are computed in these features.
std::vector<Metric> metrics_in(const FeatureExtractor& extractor) {
  std::vector<Metric> found;
  for (const Metric& metric : metric_table()) {
    const bool named = extractor.is_inception() ? metric.in_inception.empty() : !metric.inception_only;
    if (named && (!metric.labels || extractor.classes() > 0)) found.push_back(metric);
  }
  return found;
}

// Why a metric is not computed; empty where it is.
std::string refusal(std::string_view metric, const FeatureExtractor& extractor, const ImageSet& samples,
                    const std::optional<Reference>& reference) {
  try {
    evaluate(samples, reference, extractor, {.metrics = {std::string(metric)}});
  } catch (const InputError& mistake) {
    return mistake.what();
  }
  return "";
}

TEST(Evaluate, FeaturesHaveTheirMetricsAndNoOthers) {
  const ImageSet set = labelled_images("a.npz", 9, 1);
  const auto names_had = [&](const FeatureExtractor& extractor) {
    std::vector<std::string_view> names;
    for (const Metric& metric : metric_table()) {
      if (refusal(metric.name, extractor, set, reference_of(set)).empty()) names.push_back(metric.name);
    }
    return names;
  };
  std::set<std::string_view> had;
  for (const auto& extractor : all_features()) {
    std::vector<std::string_view> expected;
    for (const Metric& metric : metrics_in(*extractor)) expected.push_back(metric.name);
    EXPECT_EQ(names_had(*extractor), expected) << extractor->name();
    had.insert(expected.begin(), expected.end());
  }
  EXPECT_EQ(had.size(), metric_table().size());
  EXPECT_THAT(names_had(PixelFeatures(kTiny, torch::kCPU)),
              AllOf(IsSupersetOf({"frechet", "kid", "precision", "recall"}), Not(Contains("fid"))));
  EXPECT_THAT(names_had(PixelInception(kTiny, torch::kCPU)),
              AllOf(IsSupersetOf({"fid", "sfid", "is", "kid", "precision", "recall", "class_accuracy"}),
                    Not(Contains("frechet"))));
}

// What one metric needs is not what another happened to ask for.
TEST(Evaluate, AMetricAloneIsThatOfAllTogether) {
  const ImageSet samples = labelled_images("a.npz", 40, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  for (const auto& extractor : all_features()) {
    std::vector<std::string> metrics;
    for (const Metric& metric : metrics_in(*extractor)) metrics.emplace_back(metric.name);
    const auto together = scores_of(samples, reference, *extractor, {.metrics = metrics, .seed = 3});
    size_t scores = 0;
    for (const auto& metric : metrics) {
      for (const auto& [name, value] :
           scores_of(samples, reference, *extractor, {.metrics = {metric}, .seed = 3})) {
        EXPECT_EQ(value, together.at(name)) << name << " of " << extractor->name();
        ++scores;
      }
    }
    EXPECT_EQ(scores, together.size());
  }
}

TEST(Evaluate, AsksForNoMoreThanTheMetricsNeed) {
  const ImageSet set = images("a.npz", 9, 1);
  const auto asked = [&](const std::string& metric) {
    const PixelInception inception(kTiny, torch::kCPU);
    evaluate(set, reference_of(set), inception, {.metrics = {metric}});
    std::vector<std::string> words;
    for (const Wanted& wanted : inception.asked()) {
      words.push_back(std::string(wanted.features ? "f" : "") + (wanted.spatial ? "s" : "") +
                      (wanted.logits ? "l" : ""));
    }
    return words;
  };
  EXPECT_THAT(asked("fid"), ElementsAre("f", "f"));
  EXPECT_THAT(asked("sfid"), ElementsAre("s", "s"));
  EXPECT_THAT(asked("is"), ElementsAre("l"));
  for (const char* metric : {"kid", "precision", "recall", "density", "coverage"}) {
    EXPECT_THAT(asked(metric), ElementsAre("f", "f")) << metric;
  }
}

TEST(Evaluate, TheInceptionScoreNeedsNoReference) {
  const ImageSet samples = images("a.npz", 40, 1);
  const PixelInception inception(kTiny, torch::kCPU);
  const EvaluationOptions score = {.metrics = {"is"}};
  EXPECT_EQ(evaluate(samples, std::nullopt, inception, score).front().value,
            evaluate(samples, reference_of(samples), inception, score).front().value);
  const auto mistake_of = [&](const EvaluationOptions& options) {
    return message_of<InputError>([&] { evaluate(samples, std::nullopt, inception, options); });
  };
  EXPECT_THAT(mistake_of({.metrics = {"is", "recall"}}),
              HasSubstr("--reference is required: what the samples are compared with by recall"));
  EXPECT_THAT(mistake_of({.metrics = {"is"}, .calibrate = true}), HasSubstr("add fid to the metrics"));
}

TEST(Evaluate, RefusesAMetricUnderTheWrongName) {
  const ImageSet set = images("a.npz", 9, 1);
  for (const std::string metric : {"fid", "sfid", "is"}) {
    EXPECT_THAT(mistake(set, set, {.metrics = {metric}}),
                HasSubstr("metric '" + metric +
                          "' is defined by Inception features, but these are pixels; name inception as "
                          "features, or ask for frechet, kid, precision"));
  }
  const PixelInception inception(kTiny, torch::kCPU);
  EXPECT_THAT(
      message_of<InputError>([&] { evaluate(set, reference_of(set), inception, {.metrics = {"frechet"}}); }),
      HasSubstr("in Inception features the Fréchet distance is fid"));
}

// By every metric, the reference itself is better than white images under wrong labels.
TEST(Evaluate, KnowsWhichWayEachMetricIsBetter) {
  ImageSet reference = images("a.npz", 40, 1);
  ImageSet white = reference;
  white.pixels = torch::full_like(reference.pixels, 255);
  for (const auto& extractor : all_features()) {
    if (const int64_t classes = extractor->classes(); classes > 0) {
      const auto answers = [&](const ImageSet& set) {
        return (*extractor)(set.pixels, {.logits = true}).logits.value().argmax(1);
      };
      reference.labels = answers(reference);
      white.labels = (answers(white) + 1).remainder(classes);
    }
    for (const Metric& row : metrics_in(*extractor)) {
      const std::string metric(row.name);
      SCOPED_TRACE(metric + " of " + extractor->name());
      const auto score = [&](const ImageSet& samples) {
        return evaluate(samples, reference_of(reference), *extractor, {.metrics = {metric}}).front().value;
      };
      EXPECT_TRUE(is_better(metric, score(reference), score(white)));
      EXPECT_FALSE(is_better(metric, score(white), score(reference)));
      EXPECT_FALSE(is_better(metric, 1, 1));
      EXPECT_EQ(is_better(metric + "_infinity", 2, 1), is_better(metric, 2, 1));
    }
  }
}

TEST(Evaluate, RefusesSetsOfOtherShapes) {
  EXPECT_THAT(mistake(images("a.npz", 9, 1), images("b.npz", 9, 2, {3, 4, 4}), {}),
              AllOf(HasSubstr("a.npz: images of 1×2×2"), HasSubstr("b.npz has 3×4×4")));
}

TEST(Evaluate, AMetricIsRefusedWithoutWhatItNeeds) {
  const ImageSet set = labelled_images("a.npz", 9, 1);
  for (const auto& extractor : all_features()) {
    const Reference statistics{
        .path = "s.npz", .images = std::nullopt, .statistics = image_statistics(*extractor, set, 9)};
    for (const Metric& metric : metrics_in(*extractor)) {
      SCOPED_TRACE(std::string(metric.name) + " of " + extractor->name());
      const auto refused = [&](const ImageSet& samples, const std::optional<Reference>& reference) {
        return refusal(metric.name, *extractor, samples, reference);
      };
      const auto says = [](bool expected, const std::string& words) {
        return expected ? testing::Matcher<std::string>(HasSubstr(words)) : testing::IsEmpty();
      };
      const int64_t least = metric.least.images;
      EXPECT_THAT(refused(set, std::nullopt),
                  says(metric.with != ComparedWith::nothing,
                       "--reference is required: what the samples are compared with by " +
                           std::string(metric.name) + "; only is and class_accuracy need none"));
      EXPECT_THAT(
          refused(set, statistics),
          says(metric.with == ComparedWith::images,
               concat("holds statistics and no images (arr_0), but ",
                      metrics_that([](const Metric& m) { return m.with == ComparedWith::images; }, "and"),
                      " need")));
      EXPECT_THAT(refused(labelled_images("b.npz", least, 1), reference_of(set)), testing::IsEmpty());
      if (least == 1) continue;
      const ImageSet few = labelled_images("b.npz", least - 1, 1);
      const auto too_few = HasSubstr("needs at least " + std::to_string(least));
      EXPECT_THAT(refused(few, reference_of(set)), too_few);
      EXPECT_THAT(refused(set, reference_of(few)), too_few);
    }
  }
}

TEST(Evaluate, TheHelpNamesEveryMetric) {
  for (const Metric& metric : metric_table()) {
    EXPECT_FALSE(metric.help.empty()) << metric.name;
    EXPECT_THAT(metrics_help(), HasSubstr(std::string(metric.name) + " (" + std::string(metric.help) + ")"));
  }
}

TEST(Evaluate, RefusesTooFewImages) {
  EXPECT_THAT(mistake(images("a.npz", 1, 1), images("b.npz", 9, 2), {}),
              HasSubstr("a.npz: 1 image(s), but the Fréchet distance needs at least 2"));
  EXPECT_THAT(mistake(images("a.npz", 9, 1), images("b.npz", 3, 2), {.metrics = {"recall"}}),
              HasSubstr("b.npz: 3 image(s), but precision and recall with k = 3 needs at least 4"));
}

TEST(Evaluate, RefusesClassAccuracyWithoutLabelsOrClassifier) {
  const EvaluationOptions accuracy = {.metrics = {"class_accuracy"}};
  ImageSet set = images("a.npz", 9, 1);
  EXPECT_THAT(mistake(set, set, accuracy), HasSubstr("a.npz: class_accuracy needs the labels"));
  set.labels = torch::zeros({9}, torch::kInt64);
  EXPECT_THAT(mistake(set, set, accuracy), HasSubstr("needs a classifier, but the features are pixels"));
  set.labels = torch::full({9}, 7, torch::kInt64);
  EXPECT_THAT(
      message_of<InputError>([&] { evaluate(set, reference_of(set), *one_pixel_features(), accuracy); }),
      HasSubstr("labels reach from 7 to 7; the classifier knows 0 to 1"));
  for (const int64_t outside : {-1, 2}) {
    set.labels = torch::full({9}, outside, torch::kInt64);
    EXPECT_THAT(
        message_of<InputError>([&] { evaluate(set, reference_of(set), *one_pixel_features(), accuracy); }),
        HasSubstr("labels reach from " + std::to_string(outside)));
  }
}

TEST(Evaluate, RefusesCalibrationWithoutFrechet) {
  const ImageSet set = images("a.npz", 9, 1);
  EXPECT_THAT(mistake(set, set, {.metrics = {"recall"}, .calibrate = true}),
              HasSubstr("add frechet to the metrics"));
  const PixelInception inception(kTiny, torch::kCPU);
  EXPECT_THAT(message_of<InputError>([&] {
                evaluate(set, reference_of(set), inception, {.metrics = {"recall"}, .calibrate = true});
              }),
              HasSubstr("add fid to the metrics"));
}

TEST(Evaluate, KidIsTheKernelDistanceWithItsDeviation) {
  const ImageSet samples = images("a.npz", 40, 1);
  const ImageSet reference = images("b.npz", 50, 2);
  const auto scores =
      scores_of(samples, reference, PixelFeatures(kTiny, torch::kCPU), {.metrics = {"kid"}, .seed = 3});
  const auto features = [](const ImageSet& set) { return from_uint8(set.pixels).flatten(1); };
  const auto expected = kernel_distance(features(samples), features(reference), {.seed = 3});
  EXPECT_DOUBLE_EQ(scores.at("kid"), expected.mean);
  EXPECT_DOUBLE_EQ(scores.at("kid_deviation"), expected.deviation);
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
