// The Karras grid against the official release's (tests/fixtures/schedules*.safetensors): samplers' levels,
// the pairs that its consistency losses draw from, and progressive distillation's levels with their half
// steps.
#include <gtest/gtest.h>

#include <algorithm>

#include "cm/diffusion/discretization.h"
#include "support/fixture_sigma.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::Fixture;

// One configuration of a topic, as "karras.0".
struct Grid {
  const Fixture& fixture;
  std::string name;
  const Json& config;

  SigmaOptions sigma() const { return test::sigma_options(config); }
  int64_t count(const char* key) const { return config.at(key).get<int64_t>(); }
  // `tensor`: "" or ".t".
  void expect(const std::string& tensor, const std::vector<double>& ours) const {
    const Tensor levels = torch::tensor(ours, torch::kFloat64);
    test::expect_parity({fixture.part(name), "levels, f64"},
                        test::elementwise(levels, fixture[name + tensor + ".f64"]), 1e-12);
    test::expect_parity({fixture.part(name), "levels, f32"},
                        test::elementwise(levels, fixture[name + tensor + ".f32"]), 2e-5);
  }
};

template <class Check>
void each_grid(const Fixture& fixture, const std::string& topic, const Check& check) {
  const Json configs = fixture.config.value(topic, Json::object());
  for (const auto& [index, config] : configs.items()) check(Grid{fixture, concat(topic, ".", index), config});
}

void check_consistency_times(const Grid& grid) {
  const std::vector<double> ascending = karras_sigmas(grid.sigma(), grid.count("N"));
  grid.expect(".t", {ascending.rbegin(), ascending.rend() - 1});
  grid.expect(".t_next", {ascending.rbegin() + 1, ascending.rend()});
}

// N steps: N + 1 levels.
void check_progressive_times(const Grid& grid) {
  const int64_t n = grid.count("N");
  std::vector<double> t;
  std::vector<double> t_mid;
  for (int64_t i = 0; i < n; ++i) {
    t.push_back(karras_sigma(grid.sigma(), n + 1, static_cast<double>(i)));
    t_mid.push_back(karras_sigma(grid.sigma(), n + 1, static_cast<double>(i) + 0.5));
  }
  grid.expect(".t", t);
  grid.expect(".t_mid", t_mid);
}

TEST(ParitySchedules, AgreeWithTheReference) {
  test::check_cases("schedules", [](const Fixture& fixture) {
    each_grid(fixture, "karras", [](const Grid& grid) {
      const int64_t n = grid.count("n");
      grid.expect("", sampler_sigmas(grid.sigma(), n));
      const Tensor fp32 = torch::tensor(sampler_sigmas_fp32(grid.sigma(), n), torch::kFloat64);
      test::expect_parity({grid.fixture.part(grid.name), "levels in fp32"},
                          test::elementwise(fp32, grid.fixture[grid.name + ".f32"]), 3e-7);
    });
    each_grid(fixture, "consistency_times", check_consistency_times);
    each_grid(fixture, "progressive_times", check_progressive_times);
  });
}

}  // namespace
}  // namespace cm
