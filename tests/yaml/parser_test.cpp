#include "cm/yaml/parser.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/mistakes_of.h"

namespace cm {
namespace {

using Kind = YamlNode::Kind;
using Lines = std::vector<std::string>;

Lines mistakes_in_text(const std::string& text) {
  return mistakes_of([&] { parse_yaml(text, "run.yaml"); });
}

TEST(YamlParser, EveryValueHasItsPlace) {
  const YamlNode root =
      parse_yaml("train:\n  steps: 10  # few\ncd: {distance: l2, grid: [1, 'two']}\n", "run.yaml");
  EXPECT_EQ(root.origin.where, "run.yaml");
  const YamlEntry* train = root.find("train");
  ASSERT_NE(train, nullptr);
  EXPECT_EQ(train->origin.where, "run.yaml:1:1");
  EXPECT_EQ(train->value.find("steps")->origin.where, "run.yaml:2:3");
  EXPECT_EQ(train->value.find("steps")->value.origin.where, "run.yaml:2:10");
  EXPECT_EQ(train->value.find("steps")->value.text, "10");
  const YamlNode& cd = root.find("cd")->value;
  EXPECT_EQ(cd.find("distance")->origin.where, "run.yaml:3:6");
  EXPECT_EQ(cd.find("distance")->value.origin.where, "run.yaml:3:16");
  const YamlNode& grid = cd.find("grid")->value;
  EXPECT_EQ(grid.kind, Kind::list);
  EXPECT_FALSE(grid.items[0].quoted);
  EXPECT_TRUE(grid.items[1].quoted);
  EXPECT_EQ(grid.items[1].origin.where, "run.yaml:3:30");
}

TEST(YamlParser, NothingNullAndTheQuotedWord) {
  const YamlNode root = parse_yaml("a:\nb: ~\nc: null\nd: 'null'\n", "run.yaml");
  EXPECT_EQ(root.find("a")->value.kind, Kind::null);
  EXPECT_EQ(root.find("a")->value.origin.where, "run.yaml:1:1");
  EXPECT_EQ(root.find("b")->value.kind, Kind::null);
  EXPECT_EQ(root.find("c")->value.kind, Kind::null);
  EXPECT_EQ(root.find("c")->value.origin.where, "run.yaml:3:4");
  EXPECT_EQ(root.find("d")->value.kind, Kind::scalar);
}

TEST(YamlParser, AnEmptyTextIsAnEmptyMapping) {
  for (const char* text : {"", "\n\n", "# nothing\n", "---\n", "{}"}) {
    const YamlNode root = parse_yaml(text, "run.yaml");
    EXPECT_EQ(root.kind, Kind::mapping) << text;
    EXPECT_TRUE(root.entries.empty()) << text;
  }
}

TEST(YamlParser, WhatIsNotYaml) {
  EXPECT_EQ(mistakes_in_text("a: b: c"), Lines{"run.yaml:1:5: not valid YAML: illegal map value"});
  EXPECT_EQ(mistakes_in_text("a:\n  b: 1\n c: 2\n"),
            Lines{"run.yaml:3:2: not valid YAML: end of map not found"});
  EXPECT_EQ(mistakes_in_text("a: [1, 2"),
            Lines{"run.yaml:2:1: not valid YAML: end of sequence flow not found"});
  EXPECT_EQ(mistakes_in_text("a: @x"), Lines{"run.yaml:1:4: not valid YAML: unknown token"});
  EXPECT_EQ(mistakes_in_text("a: 'x\nb: 2\n"), Lines{"run.yaml:4:2: not valid YAML: a quote is not closed"});
}

TEST(YamlParser, TabsAreNamed) {
  EXPECT_EQ(mistakes_in_text("a:\n\tb: 1\n"),
            Lines{"run.yaml:2:3: not valid YAML: illegal map value; indent with spaces, not tabs"});
  EXPECT_EQ(
      mistakes_in_text("a: 1\n\tb: 2\n"),
      Lines{"run.yaml:2:1: not valid YAML: illegal tab when looking for indentation; indent with spaces, not "
            "tabs"});
}

TEST(YamlParser, TheRootIsOneMapping) {
  EXPECT_EQ(mistakes_in_text("- 1\n"),
            Lines{"run.yaml:1:1: a config must be a mapping (lines of key: value), got a list"});
  EXPECT_EQ(mistakes_in_text("\nsteps\n"),
            Lines{"run.yaml:2:1: a config must be a mapping (lines of key: value), got 'steps'"});
  EXPECT_EQ(mistakes_in_text("a: 1\n---\nb: 2\n"),
            Lines{"run.yaml:2:1: not valid YAML here: something follows the end of the value"});
}

TEST(YamlParser, WhatConfigsDoWithout) {
  const char* anchors = "anchors and aliases (& and *) are not supported; write the value out";
  EXPECT_EQ(mistakes_in_text("a: &x 1\nb: *x\n"), Lines{std::string("run.yaml:1:4: ") + anchors});
  EXPECT_EQ(mistakes_in_text("a: !!int 3"),
            Lines{"run.yaml:1:4: tags (!) are not supported; quote the value if it is a string"});
  EXPECT_EQ(mistakes_in_text("? [1]\n: 3\n"), Lines{"run.yaml:1:3: a key must be a word, got a list"});
  EXPECT_EQ(mistakes_in_text(": 3\n"), Lines{"run.yaml:1:1: a key must be a word, got nothing"});
}

TEST(YamlParser, DeepNestingIsRefused) {
  const Lines mistakes = mistakes_in_text("a: " + std::string(100'000, '['));
  ASSERT_EQ(mistakes.size(), 1U);
  EXPECT_NE(mistakes[0].find("not valid YAML"), std::string::npos) << mistakes[0];
}

TEST(YamlParser, AValueAlone) {
  Mistakes mistakes;
  const Origin typed = Origin::override_of("a=[1, x]", 0);
  const auto value = parse_yaml_value("[1, x]", typed, mistakes);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->kind, Kind::list);
  EXPECT_EQ(value->items[1].origin.where, "override 'a=[1, x]'");
  EXPECT_EQ(parse_yaml_value("", typed, mistakes)->kind, Kind::null);
  EXPECT_EQ(mistakes.count(), 0U);
  EXPECT_FALSE(parse_yaml_value("[1,", typed, mistakes));
  EXPECT_EQ(mistakes_of([&] { mistakes.throw_if_any(); }),
            Lines{"override 'a=[1, x]': not valid YAML: end of sequence flow not found"});
}

TEST(YamlParser, Files) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "yaml_parser_test";
  std::filesystem::create_directories(folder);
  const auto path = folder / "run.yaml";
  std::ofstream(path) << "a: 1\n";
  EXPECT_EQ(load_yaml(path).find("a")->value.origin.where, path.string() + ":1:4");
  std::ofstream(path) << std::string((1 << 16) + 1, ' ');
  EXPECT_EQ(mistakes_of([&] { load_yaml(path); }),
            Lines{path.string() + ": is no config: it has 64.0 KiB, a config has at most 64.0 KiB"});
  std::filesystem::remove_all(folder);
  EXPECT_EQ(mistakes_of([&] { load_yaml(path); }), Lines{path.string() + ": no such file"});
}

}  // namespace
}  // namespace cm
