#include "cm/yaml/node.h"

#include <gtest/gtest.h>

#include "cm/base/text.h"

namespace cm {
namespace {

YamlNode scalar(const std::string& text) {
  YamlNode node;
  node.kind = YamlNode::Kind::scalar;
  node.text = text;
  return node;
}

TEST(YamlNode, FindsTheFirstEntryOfAKey) {
  YamlNode node;
  node.kind = YamlNode::Kind::mapping;
  for (const auto& [key, text] : {std::pair{"a", "1"}, std::pair{"b", "2"}, std::pair{"a", "3"}}) {
    node.entries.push_back({key, Origin(), scalar(text)});
  }
  ASSERT_NE(node.find("a"), nullptr);
  EXPECT_EQ(node.find("a")->value.text, "1");
  EXPECT_EQ(node.find("c"), nullptr);
  EXPECT_EQ(scalar("a").find("a"), nullptr);
}

TEST(YamlNode, DescribesWhatStandsThere) {
  EXPECT_EQ(YamlNode().describe(), "nothing");
  EXPECT_EQ(scalar("ten").describe(), "'ten'");
  YamlNode quoted = scalar("3");
  quoted.quoted = true;
  EXPECT_EQ(quoted.describe(), "the string '3'");
}

TEST(YamlNode, DescriptionIsOneShortLine) {
  EXPECT_EQ(scalar("a\nb").describe(), "'a b'");
  EXPECT_EQ(scalar(std::string(61, 'x')).describe(), concat("'", std::string(60, 'x'), "…'"));
  // "ü" is two bytes; the 60th byte would split one.
  std::string umlauts = "x";
  for (int i = 0; i < 40; ++i) umlauts += "ü";
  EXPECT_EQ(scalar(umlauts).describe(), concat("'", umlauts.substr(0, 59), "…'"));
}

}  // namespace
}  // namespace cm
