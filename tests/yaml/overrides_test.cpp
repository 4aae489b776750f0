#include "cm/yaml/overrides.h"

#include <gtest/gtest.h>

#include "cm/yaml/parser.h"
#include "support/mistakes_of.h"

namespace cm {
namespace {

using Lines = std::vector<std::string>;

struct Overridden {
  YamlNode root;
  Lines mistakes;
};

Overridden override_with(const std::string& text, const std::vector<std::string>& overrides) {
  static const KnownKeys known({"name", "list", "train", "train.steps", "train.seed"},
                               {"name", "train.steps", "train.seed"});
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

TEST(Overrides, ListsAndSectionsAreYaml) {
  const auto [root, mistakes] = override_with("", {"list=[1, 2]", "train={steps: 4}", "train.seed=null"});
  EXPECT_EQ(mistakes, Lines{});
  EXPECT_EQ(root.find("list")->value.items.size(), 2U);
  EXPECT_EQ(root.find("train")->value.find("steps")->value.text, "4");
  EXPECT_EQ(root.find("train")->value.find("seed")->value.kind, YamlNode::Kind::null);
}

TEST(Overrides, OtherValuesAreWhatWasTyped) {
  for (const std::string text : {"set #2",
                                 "#",
                                 "a: b",
                                 "*x",
                                 "&x y",
                                 "!tag",
                                 "| block",
                                 "> folded",
                                 "@x",
                                 "%x",
                                 "- x",
                                 "? x",
                                 "`x`",
                                 "[old] photos",
                                 "[x]",
                                 "{x}",
                                 "'s Hertogenbosch",
                                 "'a' or 'b'",
                                 R"("a" # "b")",
                                 "\"",
                                 " padded ",
                                 "tab\tbed",
                                 "two\nlines",
                                 R"(back\slash)",
                                 "---",
                                 "photos\xff"}) {
    const auto [root, mistakes] = override_with("", {"name=" + text});
    EXPECT_EQ(mistakes, Lines{}) << text;
    ASSERT_EQ(root.find("name")->value.kind, YamlNode::Kind::scalar) << text;
    EXPECT_EQ(root.find("name")->value.text, text);
    EXPECT_FALSE(root.find("name")->value.quoted) << text;
  }
}

TEST(Overrides, QuotesAroundTheWholeAreYamls) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"'a # b'", "a # b"}, {R"("a # b")", "a # b"},
      {"'it''s'", "it's"},  {R"("say \"x\"")", R"(say "x")"},
      {"'null'", "null"},   {"''", ""},
      {" 'x' ", "x"}};
  for (const auto& [typed, text] : cases) {
    const auto [root, mistakes] = override_with("", {"name=" + typed});
    EXPECT_EQ(mistakes, Lines{}) << typed;
    EXPECT_TRUE(root.find("name")->value.quoted) << typed;
    EXPECT_EQ(root.find("name")->value.text, text) << typed;
  }
}

TEST(Overrides, NullAndNothingAreNull) {
  for (const char* text : {"null", "~", "", "  ", "NULL"}) {
    const auto root = override_with("", {std::string("name=") + text}).root;
    EXPECT_EQ(root.find("name")->value.kind, YamlNode::Kind::null) << text;
  }
}

TEST(Overrides, AreReportedAsTyped) {
  EXPECT_EQ(
      override_with("", {"trian.steps=3", "steps=3", "train", "=3", "list=[1", "train.steps.x=1"}).mistakes,
      (Lines{"override 'trian.steps=3': unknown key 'trian.steps' (did you mean train.steps?)",
             "override 'steps=3': unknown key 'steps' (did you mean train.steps?)",
             "override 'train': must be key=value, as in train.steps=1000",
             "override '=3': must be key=value, as in train.steps=1000",
             "override 'list=[1': not valid YAML: end of sequence flow not found",
             "override 'train.steps.x=1': unknown key 'train.steps.x'"}));
}

TEST(Overrides, LeaveAValueThatIsNoSection) {
  const auto [root, mistakes] = override_with("train: 5\n", {"train.steps=3"});
  EXPECT_EQ(mistakes, Lines{});
  EXPECT_EQ(root.find("train")->value.text, "5");
}

}  // namespace
}  // namespace cm
