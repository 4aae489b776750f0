// The Karras grid against the official release's (tests/fixtures/schedules*.safetensors): samplers' levels,
// and the pairs that its consistency losses draw from.
#include <gtest/gtest.h>

#include "cm/diffusion/discretization.h"
#include "support/closeness.h"
#include "support/fixture_sigma.h"
#include "support/fixtures.h"

namespace cm {
namespace {

using test::elementwise_difference;
using test::Fixture;

void expect_grid(const Fixture& fixture, const std::string& name, const std::vector<double>& ours) {
  const Tensor sigmas = torch::tensor(ours, torch::kFloat64);
  EXPECT_LT(elementwise_difference(sigmas, fixture[name + ".f64"]), 1e-12) << name;
  EXPECT_LT(elementwise_difference(sigmas, fixture[name + ".f32"]), 2e-5) << name;
}

int64_t check_karras(const Fixture& fixture) {
  int64_t checked = 0;
  const Json topics = fixture.config.value("karras", Json::object());
  for (const auto& [index, config] : topics.items()) {
    expect_grid(fixture, "karras." + index,
                sampler_sigmas(test::sigma_options(config), config.at("n").get<int64_t>()));
    ++checked;
  }
  return checked;
}

int64_t check_consistency_times(const Fixture& fixture) {
  int64_t checked = 0;
  const Json topics = fixture.config.value("consistency_times", Json::object());
  for (const auto& [index, config] : topics.items()) {
    const auto n = config.at("N").get<int64_t>();
    std::vector<double> t;
    std::vector<double> t_next;
    for (int64_t i = 0; i + 1 < n; ++i) {
      t.push_back(karras_sigma(test::sigma_options(config), n, static_cast<double>(i)));
      t_next.push_back(karras_sigma(test::sigma_options(config), n, static_cast<double>(i + 1)));
    }
    expect_grid(fixture, "consistency_times." + index + ".t", t);
    expect_grid(fixture, "consistency_times." + index + ".t_next", t_next);
    ++checked;
  }
  return checked;
}

TEST(ParitySchedules, AgreeWithTheReference) {
  int64_t checked = 0;
  int64_t skipped = 0;
  for (const auto& fixture : test::fixtures("schedules")) {
    SCOPED_TRACE(fixture.name);
    checked += check_karras(fixture) + check_consistency_times(fixture);
    skipped += static_cast<int64_t>(fixture.config.value("progressive_times", Json::object()).size());
  }
  EXPECT_GT(checked, 0) << "no grid in any case";
  RecordProperty("skipped_progressive_times", std::to_string(skipped));
}

}  // namespace
}  // namespace cm
