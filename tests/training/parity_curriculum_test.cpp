// N(k) and μ(k) against the official release's (tests/fixtures/schedules*.safetensors). Progressive
// distillation's halving is counted, not compared: it is not among our schedules.
#include <gtest/gtest.h>

#include "cm/training/curriculum.h"
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

TEST(ParityCurriculum, AgreesWithTheReference) {
  int64_t skipped = 0;
  test::check_cases("schedules", [&skipped](const Fixture& fixture) {
    const Json configs = fixture.config.value("ema_and_scales", Json::object());
    for (const auto& [index, config] : configs.items()) {
      if (config.at("scale_mode") == "progdist") {
        ++skipped;
      } else {
        check(fixture, "ema_and_scales." + index, config);
      }
    }
  });
  RecordProperty("skipped_progdist", std::to_string(skipped));
}

}  // namespace
}  // namespace cm
