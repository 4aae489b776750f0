// Our metrics against the numbers of the official release's evaluator (tests/fixtures/metrics*.safetensors),
// and the same formulas in float64 throughout. A case may hold any of the topics.
#include <gtest/gtest.h>

#include "metrics/both_shares.h"
#include "src/metrics/frechet.h"
#include "src/metrics/inception_score.h"
#include "src/metrics/manifold.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::elementwise;
using test::exact;
using test::expect_parity;
using test::Fixture;
using test::relative;

constexpr int64_t kSpatialChannels = 7;

// The release takes the mean in fp32, the covariance in float64.
void check_moments(const Fixture& fixture, const std::string& which) {
  const auto moments = moments_of(fixture["features_" + which]);
  expect_parity({fixture.name, "mean"}, relative(moments.mean, fixture["mean_" + which]), 5e-6);
  expect_parity({fixture.name, "covariance"}, relative(moments.covariance, fixture["cov_" + which]), 1e-9);
}

// Against PREFIXfrechet_eig64, the same formula in float64, and PREFIXfrechet, by a general matrix root.
void check_frechet(const Fixture& fixture, const std::string& prefix, const Tensor& a, const Tensor& b,
                   double tolerance_eig64, double tolerance) {
  const double distance = frechet_distance(moments_of(a), moments_of(b));
  const std::string name = prefix + "frechet";
  expect_parity({fixture.name, name + ", float64"}, elementwise(distance, fixture.number(name + "_eig64")),
                tolerance_eig64);
  expect_parity({fixture.name, name}, elementwise(distance, fixture.number(name)), tolerance);
}

// [N, H, W, C] → the first channels, flattened in (h, w, c) order.
Tensor spatial_features(const Tensor& map) {
  return map.slice(3, 0, kSpatialChannels).flatten(1);
}

void check_inception_score(const Fixture& fixture) {
  for (const int64_t split : fixture.config.at("inception_splits").get<std::vector<int64_t>>()) {
    const double score = inception_score(fixture["inception.probabilities"], split);
    const auto expect = [&](const std::string& name, double tolerance) {
      const std::string tensor = name + ".split" + std::to_string(split);
      expect_parity({fixture.name, tensor}, elementwise(score, fixture.number(tensor)), tolerance);
    };
    expect("inception.score", 1e-5);
    expect("inception.score64", 1e-9);
  }
}

void check_manifold(const Fixture& fixture) {
  const auto k = fixture.config.at("k").get<int64_t>();
  const Tensor& samples = fixture["manifold.samples"];
  const Tensor& reference = fixture["manifold.reference"];
  const auto result = test::precision_recall(samples, reference, k);
  expect_parity({fixture.name, "precision"}, exact(result.precision, fixture.number("manifold.precision")));
  expect_parity({fixture.name, "recall"}, exact(result.recall, fixture.number("manifold.recall")));
  const auto expect_radii = [&](const Tensor& points, const std::string& theirs) {
    expect_parity({fixture.name, "manifold radii²"},
                  elementwise(manifold_of(points, k).squared_radii, fixture[theirs]), 1e-12);
  };
  expect_radii(samples, "manifold.radius2_samples");
  expect_radii(reference, "manifold.radius2_reference");
}

TEST(ParityMetrics, AgreeWithTheReference) {
  test::check_cases("metrics", [](const Fixture& fixture) {
    if (fixture.has("frechet")) {
      check_moments(fixture, "1");
      check_moments(fixture, "2");
      check_frechet(fixture, "", fixture["features_1"], fixture["features_2"], 1e-9, 1e-5);
    }
    if (fixture.has("deficient.frechet")) {
      check_frechet(fixture, "deficient.", fixture["deficient.features_1"], fixture["deficient.features_2"],
                    1e-6, 1e-4);
    }
    if (fixture.has("spatial.frechet")) {
      check_frechet(fixture, "spatial.", spatial_features(fixture["spatial.map_1"]),
                    spatial_features(fixture["spatial.map_2"]), 1e-9, 1e-5);
    }
    if (fixture.has("inception.probabilities")) check_inception_score(fixture);
    if (fixture.has("manifold.precision")) check_manifold(fixture);
  });
}

}  // namespace
}  // namespace cm
