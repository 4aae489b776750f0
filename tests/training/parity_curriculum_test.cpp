// N(k) and μ(k) against the official release's (tests/fixtures/schedules*.safetensors), and
// progressive distillation's N.
#include <gtest/gtest.h>

#include "cm/training/curriculum.h"
#include "cm/training/pd_objective.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::Fixture;
using test::named;

void check(const Fixture& fixture, const std::string& name, const Json& config) {
  const LevelOptions levels{.schedule = named<LevelSchedule>(config.at("scale_mode").get<std::string>()),
                            .s0 = config.at("s0").get<int64_t>(),
                            .s1 = config.at("s1").get<int64_t>()};
  const DecayOptions decay{.schedule = named<DecaySchedule>(config.at("decay_mode").get<std::string>()),
                           .mu = config.at("mu0").get<double>()};
  const auto total_steps = config.at("total_steps").get<int64_t>();
  const Tensor& steps = fixture[name + ".step"];
  for (int64_t i = 0; i < steps.numel(); ++i) {
    const auto step = steps[i].item<int64_t>();
    SCOPED_TRACE("step " + std::to_string(step));
    const int64_t n = noise_levels(levels, step, total_steps);
    const double mu = target_decay(decay, levels.s0, n);
    test::expect_parity({fixture.part(name), "N(k)"},
                        test::exact(static_cast<double>(n), fixture[name + ".N"][i].item<double>()));
    test::expect_parity(
        {fixture.part(name), "μ(k)"},
        {test::ErrorKind::absolute, std::abs(mu - fixture[name + ".decay"][i].item<double>())}, 1e-12);
  }
}

// Its decay there, 1, says that the target (the teacher) stays.
void check_halving(const Fixture& fixture, const std::string& name, const Json& config) {
  const PdOptions options{.start_steps = config.at("s0").get<int64_t>(),
                          .steps_per_stage = config.at("steps_per_halving").get<int64_t>()};
  const auto total_steps = config.at("total_steps").get<int64_t>();
  const Tensor& steps = fixture[name + ".step"];
  for (int64_t i = 0; i < steps.numel(); ++i) {
    const auto step = steps[i].item<int64_t>();
    SCOPED_TRACE("step " + std::to_string(step));
    const auto n = static_cast<double>(pd_stage(options, step, total_steps).sampler_steps);
    test::expect_parity({fixture.part(name), "N(k)"}, test::exact(n, fixture[name + ".N"][i].item<double>()));
  }
}

TEST(ParityCurriculum, AgreesWithTheReference) {
  test::check_cases("schedules", [](const Fixture& fixture) {
    const Json configs = fixture.config.value("ema_and_scales", Json::object());
    for (const auto& [index, config] : configs.items()) {
      const auto check_one = config.at("scale_mode") == "progdist" ? check_halving : check;
      check_one(fixture, "ema_and_scales." + index, config);
    }
  });
}

}  // namespace
}  // namespace cm
