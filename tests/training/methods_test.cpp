#include "cm/training/methods.h"

#include <gmock/gmock.h>

#include <set>

namespace cm {
namespace {

using testing::ElementsAre;

TEST(Methods, EachHasANameOfItsOwnAndAnExecutable) {
  std::set<std::string_view> names;
  for (const MethodName& name : kMethodNames) {
    EXPECT_TRUE(name.executable.starts_with("cm-train-"));
    EXPECT_FALSE(name.help.empty());
    names.insert(name.objective);
  }
  EXPECT_EQ(names.size(), kMethodNames.size());
  EXPECT_EQ(to_string(kObjective<CdOptions>), "cd");
  EXPECT_EQ(from_name<ObjectiveKind>("scd"), kObjective<ScdOptions>);
  EXPECT_EQ(name_of(kObjective<IctOptions>).executable, "cm-train-ct");
}

TEST(Methods, ASectionIsFoundByItsMethodAlone) {
  MethodSections sections;
  std::get<std::optional<CdOptions>>(sections) = CdOptions{.n = 7};
  std::vector<std::string> given;
  for_each_section(sections, [&]<class Options>(const std::optional<Options>& section) {
    if (section) given.emplace_back(Options::name.objective);
  });
  EXPECT_THAT(given, ElementsAre("cd"));
  int visits = 0;
  with_section(sections, kObjective<CdOptions>, [&](const auto& section) {
    ++visits;
    EXPECT_TRUE(section);
  });
  EXPECT_EQ(visits, 1);
}

TEST(Methods, TheDistanceIsThatOfTheOptions) {
  EXPECT_FALSE(method_of(EdmOptions(), 1).distance);
  EXPECT_EQ(method_of(CtOptions(), 1).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(CtOptions{.distance = Distance::l1}, 1).distance->kind, Distance::l1);
  EXPECT_EQ(method_of(CdOptions(), 1).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(CdOptions{.distance = Distance::linf}, 1).distance->kind, Distance::linf);
  const auto ict = method_of(IctOptions{.huber_c = 0.25}, 1).distance;
  EXPECT_EQ(ict->kind, Distance::pseudo_huber);
  EXPECT_EQ(ict->huber_c, 0.25);
  EXPECT_EQ(method_of(PdOptions{.distance = Distance::l1}, 1).distance->kind, Distance::l1);
  EXPECT_EQ(method_of(KdOptions(), 1).distance->kind, Distance::l2);
  EXPECT_EQ(method_of(KdOptions{.distance = Distance::lpips}, 1).distance->kind, Distance::lpips);
  const Method continuous = method_of(ContinuousCtOptions{{.distance = Distance::lpips}}, 1);
  EXPECT_EQ(continuous.distance->kind, Distance::lpips);
}

TEST(Methods, DiffusionModelsAndConsistencyModelsAreParameterizedApart) {
  const auto possible = [](ObjectiveKind kind) { return method_by_default(kind).parameterizations; };
  using enum Parameterization;
  EXPECT_THAT(possible(kObjective<EdmOptions>),
              ElementsAre(edm, trig_diffusion, linear_diffusion, vp_diffusion));
  EXPECT_THAT(possible(kObjective<PdOptions>), ElementsAre(edm));
  for (const auto kind : {kObjective<CdOptions>, kObjective<CtOptions>, kObjective<IctOptions>}) {
    EXPECT_THAT(possible(kind), ElementsAre(skip, piecewise));
  }
  EXPECT_THAT(possible(kObjective<EctOptions>), ElementsAre(skip));
  EXPECT_THAT(possible(kObjective<TcmOptions>), ElementsAre(skip));
  // The piecewise f has no ∂f/∂σ at ε.
  EXPECT_THAT(possible(kObjective<ContinuousCdOptions>), ElementsAre(skip));
  EXPECT_THAT(possible(kObjective<ContinuousCtOptions>), ElementsAre(skip));
  EXPECT_THAT(possible(kObjective<SctOptions>), ElementsAre(trig));
  EXPECT_THAT(possible(kObjective<ScdOptions>), ElementsAre(trig));
  EXPECT_THAT(possible(kObjective<KdOptions>), ElementsAre(skip, piecewise, trig));
  for (const auto kind : {kObjective<MeanFlowOptions>, kObjective<EulerianOptions>,
                          kObjective<LagrangianOptions>, kObjective<ImmOptions>}) {
    EXPECT_THAT(possible(kind), ElementsAre(linear_map, trig_map));
  }
  // Their equations are the straight path's.
  for (const auto kind : {kObjective<AlphaFlowOptions>, kObjective<ShortcutOptions>}) {
    EXPECT_THAT(possible(kind), ElementsAre(linear_map));
  }
}

// The methods of which `fact` is true.
template <class Fact>
std::vector<std::string> those_with(Fact fact) {
  std::vector<std::string> names;
  for (const auto& [kind, name] : EnumNames<ObjectiveKind>::names) {
    if (fact(method_by_default(kind))) names.emplace_back(name);
  }
  return names;
}

TEST(Methods, EachNeedsTheModelsOfItsAlgorithm) {
  EXPECT_THAT(those_with([](const Method& m) { return m.needs_teacher; }),
              ElementsAre("cd", "continuous_cd", "scd", "pd", "eulerian", "lagrangian"));
  EXPECT_THAT(those_with([](const Method& m) { return m.needs_init; }), ElementsAre("ect", "tcm"));
  EXPECT_THAT(those_with([](const Method& m) { return m.keeps_start; }), ElementsAre("tcm"));
  EXPECT_THAT(those_with([](const Method& m) { return m.takes_pairs; }), ElementsAre("kd"));
  EXPECT_THAT(those_with([](const Method& m) { return m.has_target; }), ElementsAre("cd", "ct", "shortcut"));
  EXPECT_THAT(those_with([](const Method& m) { return m.has_stages; }), ElementsAre("pd"));
  EXPECT_THAT(those_with([](const Method& m) { return m.teacher_steps.has_value(); }), ElementsAre("pd"));
  EXPECT_EQ(method_of(PdOptions{.start_steps = 4}, 1).teacher_steps, 8);
  EXPECT_THAT(those_with([](const Method& m) { return m.group > 1; }), ElementsAre("imm"));
}

TEST(Methods, ThoseInContinuousTimeTakeADerivative) {
  EXPECT_THAT(those_with([](const Method& m) { return m.derivative == Derivative::tangent; }),
              ElementsAre("continuous_cd", "continuous_ct", "sct", "scd", "mean_flow", "alpha_flow",
                          "eulerian", "lagrangian"));
  EXPECT_EQ(method_of(ContinuousCdOptions{{.stop_gradient = false}}, 1).derivative,
            Derivative::through_tangent);
}

TEST(Methods, TheGridOfSamplingIsTheTrainingsLast) {
  EXPECT_EQ(method_of(CdOptions{.n = 12}, 1).last_levels, 12);
  const LevelOptions progressive{.schedule = LevelSchedule::progressive, .s0 = 2, .s1 = 150};
  EXPECT_EQ(method_of(CtOptions{.levels = progressive}, 1000).last_levels, 151);
  const LevelOptions doubling{.schedule = LevelSchedule::doubling, .s0 = 10, .s1 = 40};
  EXPECT_EQ(method_of(IctOptions{.levels = doubling}, 1000).last_levels, 41);
  EXPECT_THAT(those_with([](const Method& m) { return m.last_levels.has_value(); }),
              ElementsAre("cd", "ct", "ict"));
}

}  // namespace
}  // namespace cm
