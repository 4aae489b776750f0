// Our metrics against the numbers of the official release's evaluator (tests/fixtures/metrics*.safetensors).
// A case may hold any of the four topics.
#include <gtest/gtest.h>

#include "cm/metrics/frechet.h"
#include "cm/metrics/inception_score.h"
#include "cm/metrics/precision_recall.h"
#include "support/fixtures.h"

namespace cm {
namespace {

using test::Fixture;

constexpr int64_t kSpatialChannels = 7;

void expect_relative(double actual, double expected, double tolerance) {
  EXPECT_NEAR(actual, expected, tolerance * std::abs(expected));
}

double distance(const Tensor& a, const Tensor& b) {
  return frechet_distance(moments_of(a), moments_of(b));
}

// [N, H, W, C] → the first channels, flattened in (h, w, c) order.
Tensor spatial_features(const Tensor& map) {
  return map.slice(3, 0, kSpatialChannels).flatten(1);
}

void check_moments(const Fixture& fixture, const std::string& which) {
  const auto moments = moments_of(fixture["features_" + which]);
  EXPECT_TRUE(torch::allclose(moments.mean, fixture["mean_" + which].to(torch::kFloat64), 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(moments.covariance, fixture["cov_" + which], 1e-9, 1e-9));
}

void check_inception_score(const Fixture& fixture) {
  for (const int64_t split : fixture.config.at("inception_splits").get<std::vector<int64_t>>()) {
    const double score = inception_score(fixture["inception.probabilities"], split);
    expect_relative(score, fixture.number("inception.score64.split" + std::to_string(split)), 1e-9);
    expect_relative(score, fixture.number("inception.score.split" + std::to_string(split)), 1e-5);
  }
}

void check_manifold(const Fixture& fixture) {
  const auto k = fixture.config.at("k").get<int64_t>();
  const Tensor& samples = fixture["manifold.samples"];
  const Tensor& reference = fixture["manifold.reference"];
  const auto result = precision_recall(samples, reference, k);
  EXPECT_EQ(result.precision, fixture.number("manifold.precision"));
  EXPECT_EQ(result.recall, fixture.number("manifold.recall"));
  EXPECT_TRUE(torch::allclose(squared_radii(samples, k), fixture["manifold.radius2_samples"], 1e-12, 0));
  EXPECT_TRUE(torch::allclose(squared_radii(reference, k), fixture["manifold.radius2_reference"], 1e-12, 0));
}

TEST(ParityMetrics, AgreeWithTheReference) {
  for (const auto& fixture : test::fixtures("metrics")) {
    SCOPED_TRACE(fixture.name);
    if (fixture.has("frechet")) {
      check_moments(fixture, "1");
      check_moments(fixture, "2");
      const double plain = distance(fixture["features_1"], fixture["features_2"]);
      expect_relative(plain, fixture.number("frechet_eig64"), 1e-9);
      expect_relative(plain, fixture.number("frechet"), 1e-5);
    }
    if (fixture.has("deficient.frechet")) {
      const double deficient = distance(fixture["deficient.features_1"], fixture["deficient.features_2"]);
      expect_relative(deficient, fixture.number("deficient.frechet_eig64"), 1e-6);
      expect_relative(deficient, fixture.number("deficient.frechet"), 1e-4);
    }
    if (fixture.has("spatial.frechet")) {
      const double spatial =
          distance(spatial_features(fixture["spatial.map_1"]), spatial_features(fixture["spatial.map_2"]));
      expect_relative(spatial, fixture.number("spatial.frechet_eig64"), 1e-9);
      expect_relative(spatial, fixture.number("spatial.frechet"), 1e-5);
    }
    if (fixture.has("inception.probabilities")) check_inception_score(fixture);
    if (fixture.has("manifold.precision")) check_manifold(fixture);
  }
}

}  // namespace
}  // namespace cm
