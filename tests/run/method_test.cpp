#include "cm/run/method.h"

#include <gtest/gtest.h>

#include "run/read_run.h"

namespace cm {
namespace {

TEST(Method, TheDistanceIsThatOfTheObjective) {
  EXPECT_FALSE(method_of(read_run("objective: edm\n")).distance);
  EXPECT_EQ(method_of(read_run("objective: ct\n")).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(read_run("objective: ct\nct: {distance: l1}\n")).distance->kind, Distance::l1);
  const std::string cd = "objective: cd\nteacher: {checkpoint: t}\n";
  EXPECT_EQ(method_of(read_run(cd)).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(read_run(cd + "cd: {distance: linf}\n")).distance->kind, Distance::linf);
  const auto ict = method_of(read_run("objective: ict\nict: {huber_c: 0.25}\n")).distance;
  EXPECT_EQ(ict->kind, Distance::pseudo_huber);
  EXPECT_EQ(ict->huber_c, 0.25);
  const std::string pd = "objective: pd\nteacher: {checkpoint: t}\n";
  EXPECT_EQ(method_of(read_run(pd + "pd: {distance: l1}\n")).distance->kind, Distance::l1);
}

TEST(Method, DiffusionModelsAndConsistencyModelsAreParameterizedApart) {
  EXPECT_EQ(method_of(read_run("objective: edm\n")).parameterizations.front(), Parameterization::edm);
  EXPECT_EQ(method_of(read_run("objective: ict\n")).parameterizations.front(), Parameterization::skip);
  EXPECT_TRUE(method_of(read_run("objective: cd\nteacher: {checkpoint: t}\n")).needs_teacher);
  EXPECT_FALSE(method_of(read_run("objective: ict\n")).has_target);
  EXPECT_FALSE(method_of(read_run("objective: ict\n")).needs_init);
  EXPECT_TRUE(method_of(read_run("objective: scd\nteacher: {checkpoint: t}\n")).needs_teacher);
  EXPECT_EQ(method_of(read_run("objective: sct\n")).parameterizations.front(), Parameterization::trig);
  EXPECT_TRUE(method_of(read_run("objective: ect\ninit: {checkpoint: t}\n")).needs_init);
  const Method pd = method_of(read_run("objective: pd\nteacher: {checkpoint: t}\n"));
  EXPECT_EQ(pd.parameterizations, std::vector{Parameterization::edm});
  EXPECT_TRUE(pd.needs_teacher);
  EXPECT_FALSE(pd.has_target);
}

// The piecewise f has no ∂f/∂σ at ε.
TEST(Method, ContinuousTimeNeedsADifferentiableParameterization) {
  const Method cd = method_of(read_run("objective: continuous_cd\nteacher: {checkpoint: t}\n"));
  EXPECT_EQ(cd.parameterizations, std::vector{Parameterization::skip});
  EXPECT_TRUE(cd.needs_teacher);
  EXPECT_FALSE(cd.has_target);
  const Method ct = method_of(
      read_run("objective: continuous_ct\ncontinuous_ct: {distance: lpips}\nlpips: {weights: w}\n"));
  EXPECT_EQ(ct.distance->kind, Distance::lpips);
  EXPECT_FALSE(ct.last_levels);
  EXPECT_FALSE(ct.needs_teacher);
}

TEST(Method, TheGridOfSamplingIsTheTrainingsLast) {
  EXPECT_FALSE(method_of(read_run("objective: edm\n")).last_levels);
  EXPECT_EQ(method_of(read_run("objective: cd\nteacher: {checkpoint: t}\ncd: {n: 12}\n")).last_levels, 12);
  EXPECT_FALSE(method_of(read_run("objective: continuous_ct\n")).last_levels);
  const std::string ct = "objective: ct\nct: {levels: {schedule: progressive, s0: 2, s1: 150}}\n";
  EXPECT_EQ(method_of(read_run(ct)).last_levels, 151);
  const std::string ict = "objective: ict\nict: {levels: {schedule: doubling, s0: 10, s1: 40}}\n";
  EXPECT_EQ(method_of(read_run(ict)).last_levels, 41);
}

}  // namespace
}  // namespace cm
