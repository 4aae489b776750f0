#include "cm/config/method.h"

#include <gtest/gtest.h>

#include "cm/config/yaml_reader.h"

namespace cm {
namespace {

RunConfig read(const std::string& text) {
  const std::string model = "data: {path: images}\nmodel: {channels: 32}\n";
  return read_config<RunConfig>(parse_yaml(model + text, "run.yaml"), {});
}

TEST(Method, TheDistanceIsThatOfTheObjective) {
  EXPECT_FALSE(method_of(read("objective: edm\n")).distance);
  EXPECT_EQ(method_of(read("objective: ct\n")).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(read("objective: ct\nct: {distance: l1}\n")).distance->kind, Distance::l1);
  const std::string cd = "objective: cd\nteacher: {checkpoint: t}\n";
  EXPECT_EQ(method_of(read(cd)).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(read(cd + "cd: {distance: linf}\n")).distance->kind, Distance::linf);
  const auto ict = method_of(read("objective: ict\nict: {huber_c: 0.25}\n")).distance;
  EXPECT_EQ(ict->kind, Distance::pseudo_huber);
  EXPECT_EQ(ict->huber_c, 0.25);
  const std::string pd = "objective: pd\nteacher: {checkpoint: t}\n";
  EXPECT_EQ(method_of(read(pd + "pd: {distance: l1}\n")).distance->kind, Distance::l1);
}

TEST(Method, DiffusionModelsAndConsistencyModelsAreParameterizedApart) {
  EXPECT_EQ(method_of(read("objective: edm\n")).parameterizations.front(), Parameterization::edm);
  EXPECT_EQ(method_of(read("objective: ict\n")).parameterizations.front(), Parameterization::skip);
  EXPECT_TRUE(method_of(read("objective: cd\nteacher: {checkpoint: t}\n")).needs_teacher);
  EXPECT_FALSE(method_of(read("objective: ict\n")).has_target);
  EXPECT_FALSE(method_of(read("objective: ict\n")).needs_init);
  EXPECT_TRUE(method_of(read("objective: scd\nteacher: {checkpoint: t}\n")).needs_teacher);
  EXPECT_EQ(method_of(read("objective: sct\n")).parameterizations.front(), Parameterization::trig);
  EXPECT_TRUE(method_of(read("objective: ect\ninit: {checkpoint: t}\n")).needs_init);
  const Method pd = method_of(read("objective: pd\nteacher: {checkpoint: t}\n"));
  EXPECT_EQ(pd.parameterizations, std::vector{Parameterization::edm});
  EXPECT_TRUE(pd.needs_teacher);
  EXPECT_FALSE(pd.has_target);
}

// The piecewise f has no ∂f/∂σ at ε.
TEST(Method, ContinuousTimeNeedsADifferentiableParameterization) {
  const Method cd = method_of(read("objective: continuous_cd\nteacher: {checkpoint: t}\n"));
  EXPECT_EQ(cd.parameterizations, std::vector{Parameterization::skip});
  EXPECT_TRUE(cd.needs_teacher);
  EXPECT_FALSE(cd.has_target);
  const Method ct =
      method_of(read("objective: continuous_ct\ncontinuous_ct: {distance: lpips}\nlpips: {weights: w}\n"));
  EXPECT_EQ(ct.distance->kind, Distance::lpips);
  EXPECT_FALSE(ct.needs_teacher);
}

TEST(Method, TheGridOfSamplingIsTheTrainingsLast) {
  EXPECT_FALSE(method_of(read("objective: edm\n")).last_levels);
  EXPECT_EQ(method_of(read("objective: cd\nteacher: {checkpoint: t}\ncd: {n: 12}\n")).last_levels, 12);
  EXPECT_FALSE(method_of(read("objective: continuous_ct\n")).last_levels);
  const std::string ct = "objective: ct\nct: {levels: {schedule: progressive, s0: 2, s1: 150}}\n";
  EXPECT_EQ(method_of(read(ct)).last_levels, 151);
}

}  // namespace
}  // namespace cm
