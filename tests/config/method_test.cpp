#include "cm/config/method.h"

#include <gtest/gtest.h>

#include "cm/config/yaml_reader.h"

namespace cm {
namespace {

RunConfig config_of(const std::string& text) {
  const std::string model = "data: {path: images}\nmodel: {channels: 32}\n";
  return read_config<RunConfig>(parse_yaml(model + text, "run.yaml"), {});
}

TEST(Method, TheDistanceIsThatOfTheObjective) {
  EXPECT_FALSE(method_of(config_of("objective: edm\n")).distance);
  EXPECT_EQ(method_of(config_of("objective: ct\n")).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(config_of("objective: ct\nct: {distance: l1}\n")).distance->kind, Distance::l1);
  const std::string cd = "objective: cd\nteacher: {checkpoint: t}\n";
  EXPECT_EQ(method_of(config_of(cd)).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(config_of(cd + "cd: {distance: linf}\n")).distance->kind, Distance::linf);
  const auto ict = method_of(config_of("objective: ict\nict: {huber_c: 0.25}\n")).distance;
  EXPECT_EQ(ict->kind, Distance::pseudo_huber);
  EXPECT_EQ(ict->huber_c, 0.25);
  const std::string pd = "objective: pd\nteacher: {checkpoint: t}\n";
  EXPECT_EQ(method_of(config_of(pd + "pd: {distance: l1}\n")).distance->kind, Distance::l1);
}

TEST(Method, DiffusionModelsAndConsistencyModelsAreParameterizedApart) {
  EXPECT_EQ(method_of(config_of("objective: edm\n")).parameterizations.front(), Parameterization::edm);
  EXPECT_EQ(method_of(config_of("objective: ict\n")).parameterizations.front(), Parameterization::skip);
  EXPECT_TRUE(method_of(config_of("objective: cd\nteacher: {checkpoint: t}\n")).needs_teacher);
  EXPECT_FALSE(method_of(config_of("objective: ict\n")).has_target);
  EXPECT_FALSE(method_of(config_of("objective: ict\n")).needs_init);
  EXPECT_TRUE(method_of(config_of("objective: scd\nteacher: {checkpoint: t}\n")).needs_teacher);
  EXPECT_EQ(method_of(config_of("objective: sct\n")).parameterizations.front(), Parameterization::trig);
  EXPECT_TRUE(method_of(config_of("objective: ect\ninit: {checkpoint: t}\n")).needs_init);
  const Method pd = method_of(config_of("objective: pd\nteacher: {checkpoint: t}\n"));
  EXPECT_EQ(pd.parameterizations, std::vector{Parameterization::edm});
  EXPECT_TRUE(pd.needs_teacher);
  EXPECT_FALSE(pd.has_target);
}

// The piecewise f has no ∂f/∂σ at ε.
TEST(Method, ContinuousTimeNeedsADifferentiableParameterization) {
  const Method cd = method_of(config_of("objective: continuous_cd\nteacher: {checkpoint: t}\n"));
  EXPECT_EQ(cd.parameterizations, std::vector{Parameterization::skip});
  EXPECT_TRUE(cd.needs_teacher);
  EXPECT_FALSE(cd.has_target);
  const Method ct = method_of(
      config_of("objective: continuous_ct\ncontinuous_ct: {distance: lpips}\nlpips: {weights: w}\n"));
  EXPECT_EQ(ct.distance->kind, Distance::lpips);
  EXPECT_FALSE(ct.needs_teacher);
}

TEST(Method, TheGridOfSamplingIsTheTrainingsLast) {
  EXPECT_FALSE(method_of(config_of("objective: edm\n")).last_levels);
  EXPECT_EQ(method_of(config_of("objective: cd\nteacher: {checkpoint: t}\ncd: {n: 12}\n")).last_levels, 12);
  EXPECT_FALSE(method_of(config_of("objective: continuous_ct\n")).last_levels);
  const std::string ct = "objective: ct\nct: {levels: {schedule: progressive, s0: 2, s1: 150}}\n";
  EXPECT_EQ(method_of(config_of(ct)).last_levels, 151);
}

}  // namespace
}  // namespace cm
