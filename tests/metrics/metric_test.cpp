#include "src/metrics/metric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "metrics/evaluated.h"

namespace cm {
namespace {

TEST(Metric, RowsAreNamedAndComplete) {
  std::set<std::string_view> names;
  for (const Metric& metric : metric_table()) {
    SCOPED_TRACE(std::string(metric.name));
    EXPECT_TRUE(names.insert(metric.name).second);
    EXPECT_EQ(&metric_named(std::string(metric.name)), &metric);
    EXPECT_FALSE(metric.help.empty());
    EXPECT_EQ(metric.least.images == 1, metric.least.of.empty());
    EXPECT_TRUE(metric.wanted.features || metric.wanted.spatial || metric.wanted.logits);
    EXPECT_NE(metric.compute, nullptr);
    if (!metric.in_inception.empty()) {
      EXPECT_TRUE(metric_named(std::string(metric.in_inception)).inception_only);
    }
  }
}

TEST(Metric, NamesThatSatisfyACondition) {
  EXPECT_THAT(metrics_that([](const Metric& metric) { return metric.with == ComparedWith::images; }, "and"),
              testing::StartsWith("kid, precision"));
  EXPECT_EQ(metrics_that([](const Metric& metric) { return metric.labels; }, "or"), "class_accuracy");
}

TEST(Metric, WhatFollowsFromAReferenceIsComputedOnce) {
  const PixelFeatures pixels(test::kTiny, torch::kCPU);
  const std::optional<Reference> reference = reference_of(test::images("b.npz", 9, 2));
  ComparedReference compared(reference, pixels, {}, 4);
  int64_t made = 0;
  const auto make = [&] { return ++made; };
  EXPECT_EQ(compared.once("a", make), 1);
  EXPECT_EQ(compared.once("a", make), 1);
  EXPECT_EQ(compared.once("b", make), 2);
  EXPECT_EQ(&compared.activations(), &compared.activations());
  EXPECT_EQ(&compared.moments(), &compared.moments());
}

}  // namespace
}  // namespace cm
