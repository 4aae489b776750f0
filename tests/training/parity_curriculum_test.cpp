// N(k) and μ(k) against the official release's (tests/fixtures/schedules*.safetensors). Progressive
// distillation's halving is counted, not compared: it is not among our schedules.
#include <gtest/gtest.h>

#include "cm/training/curriculum.h"
#include "support/fixtures.h"

namespace cm {
namespace {

using test::Fixture;

DecayOptions decay_options(const Json& config) {
  const auto mode = config.at("decay_mode").get<std::string>();
  const auto schedule = from_name<DecaySchedule>(mode);
  if (!schedule) throw std::runtime_error("decay_mode " + mode + " is none of ours");
  return {.schedule = *schedule, .mu = config.at("mu0").get<double>()};
}

void check(const Fixture& fixture, const std::string& index, const Json& config, LevelSchedule schedule) {
  SCOPED_TRACE("ema_and_scales." + index);
  const LevelOptions levels{
      .schedule = schedule, .s0 = config.at("s0").get<int64_t>(), .s1 = config.at("s1").get<int64_t>()};
  const DecayOptions decay = decay_options(config);
  const auto total_steps = config.at("total_steps").get<int64_t>();
  const std::string prefix = "ema_and_scales." + index + ".";
  const Tensor& steps = fixture[prefix + "step"];
  for (int64_t i = 0; i < steps.numel(); ++i) {
    const auto step = steps[i].item<int64_t>();
    const int64_t n = noise_levels(levels, step, total_steps);
    EXPECT_EQ(n, fixture[prefix + "N"][i].item<int64_t>()) << "step " << step;
    EXPECT_NEAR(target_decay(decay, levels.s0, n), fixture[prefix + "decay"][i].item<double>(), 1e-12)
        << "step " << step;
  }
}

TEST(ParityCurriculum, AgreesWithTheReference) {
  int64_t checked = 0;
  int64_t skipped = 0;
  for (const auto& fixture : test::fixtures("schedules")) {
    SCOPED_TRACE(fixture.name);
    const Json topics = fixture.config.value("ema_and_scales", Json::object());
    for (const auto& [index, config] : topics.items()) {
      const auto mode = config.at("scale_mode").get<std::string>();
      if (mode == "progdist") {
        ++skipped;
        continue;
      }
      const auto schedule = from_name<LevelSchedule>(mode);
      ASSERT_TRUE(schedule) << "scale_mode " << mode << " is none of ours";
      check(fixture, index, config, *schedule);
      ++checked;
    }
  }
  EXPECT_GT(checked, 0) << "no curriculum in any case";
  RecordProperty("skipped_progdist", std::to_string(skipped));
}

}  // namespace
}  // namespace cm
