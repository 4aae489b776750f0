#include "cm/config/overrides.h"

#include <gtest/gtest.h>

#include "cm/config/yaml_parser.h"
#include "config/mistakes_of.h"

namespace cm {
namespace {

using Lines = std::vector<std::string>;

struct Overridden {
  YamlNode root;
  Lines mistakes;
};

Overridden override_with(const std::string& text, const std::vector<std::string>& overrides) {
  static const KnownKeys known({"name", "train", "train.steps", "train.seed"});
  Overridden result{parse_yaml(text, "run.yaml"), {}};
  Mistakes mistakes;
  apply_overrides(overrides, known, result.root, mistakes);
  result.mistakes = mistakes_of([&] { mistakes.throw_if_any(); });
  return result;
}

TEST(Overrides, ReplaceAndCreate) {
  const auto [root, mistakes] =
      override_with("train:\n  steps: 1\n", {"train.steps=2", "train.seed=3", "name=x=y"});
  EXPECT_EQ(mistakes, Lines{});
  const YamlNode& train = root.find("train")->value;
  EXPECT_EQ(train.find("steps")->value.text, "2");
  EXPECT_EQ(train.find("steps")->value.origin.where, "override 'train.steps=2'");
  EXPECT_EQ(train.find("seed")->value.text, "3");
  EXPECT_EQ(root.find("name")->value.text, "x=y");
}

TEST(Overrides, MakeTheSectionThatIsMissingOrEmpty) {
  for (const char* text : {"", "train:\n", "train: {}\n"}) {
    const auto [root, mistakes] = override_with(text, {"train.steps=2"});
    EXPECT_EQ(mistakes, Lines{});
    EXPECT_EQ(root.find("train")->value.find("steps")->value.text, "2") << text;
  }
}

TEST(Overrides, TheLastOneWins) {
  EXPECT_EQ(override_with("", {"name=a", "name=b"}).root.find("name")->value.text, "b");
}

TEST(Overrides, ValuesAreYaml) {
  const auto [root, mistakes] = override_with("", {"name=[1, 2]", "train={steps: 4}", "train.seed=null"});
  EXPECT_EQ(mistakes, Lines{});
  EXPECT_EQ(root.find("name")->value.items.size(), 2U);
  EXPECT_EQ(root.find("train")->value.find("steps")->value.text, "4");
  EXPECT_EQ(root.find("train")->value.find("seed")->value.kind, YamlNode::Kind::null);
}

TEST(Overrides, AreReportedAsTyped) {
  EXPECT_EQ(
      override_with("", {"trian.steps=3", "steps=3", "train", "=3", "name=[1", "train.steps.x=1"}).mistakes,
      (Lines{"override 'trian.steps=3': unknown key 'trian.steps' (did you mean train.steps?)",
             "override 'steps=3': unknown key 'steps' (did you mean train.steps?)",
             "override 'train': must be key=value, as in train.steps=1000",
             "override '=3': must be key=value, as in train.steps=1000",
             "override 'name=[1': not valid YAML: end of sequence flow not found",
             "override 'train.steps.x=1': unknown key 'train.steps.x'"}));
}

TEST(Overrides, LeaveAValueThatIsNoSection) {
  const auto [root, mistakes] = override_with("train: 5\n", {"train.steps=3"});
  EXPECT_EQ(mistakes, Lines{});
  EXPECT_EQ(root.find("train")->value.text, "5");
}

}  // namespace
}  // namespace cm
