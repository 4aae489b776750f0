#include "cm/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"

namespace cm {

enum class Shape { round, square };

namespace {

using test::message_of;

struct Edge {
  double width = 0.5;
};
template <class Visitor>
void fields(Visitor& visit, Edge& o) {
  visit("width", o.width, "in metres", above(0));
}

struct Table {
  int64_t legs = 4;
  bool folds = false;
  std::string wood = "oak";
  Shape shape = Shape::round;
  std::optional<double> price;
  std::vector<double> heights = {0.7};
  Edge edge;
};
template <class Visitor>
void fields(Visitor& visit, Table& o) {
  visit("legs", o.legs, "how many", at_least(3));
  visit("folds", o.folds, "whether it folds");
  visit("wood", o.wood, "the kind of wood");
  visit("shape", o.shape, "of the top");
  visit("price", o.price, "unknown when absent", at_least(0));
  visit("heights", o.heights, "in metres", within(0, 2));
  visit("edge", o.edge, "of the top");
}

Table read(const std::string& text) {
  Table table;
  set_from_json(Json::parse(text), "table", table);
  return table;
}

std::string refusal(const std::string& text) {
  return message_of<InputError>([&] { read(text); });
}

TEST(Json, HoldsTheFieldsInTheirOrder) {
  EXPECT_EQ(
      json_of(Table{}).dump(),
      R"({"legs":4,"folds":false,"wood":"oak","shape":"round","price":null,"heights":[0.7],"edge":{"width":0.5}})");
}

TEST(Json, EveryFieldSurvivesTheRoundTrip) {
  const std::string text =
      R"({"legs":3,"folds":true,"wood":"elm","shape":"square","price":9.5,"heights":[],"edge":{"width":0.1}})";
  const Table table = read(text);
  EXPECT_EQ(table.shape, Shape::square);
  EXPECT_EQ(table.price, 9.5);
  EXPECT_EQ(json_of(table).dump(), text);
}

TEST(Json, MissingKeysKeepTheirValueAndUnknownOnesAreIgnored) {
  EXPECT_EQ(json_of(read(R"({"colour":"red"})")), json_of(Table{}));
  EXPECT_EQ(read(R"({"price":null})").price, std::nullopt);
  EXPECT_EQ(read(R"({"heights":[1]})").heights, std::vector<double>{1});
}

TEST(Json, WrongTypesAreNamedWithTheirPlace) {
  EXPECT_EQ(refusal(R"({"wood":5})"), "table.wood has the wrong type: 5");
  EXPECT_EQ(refusal(R"({"folds":"yes"})"), R"(table.folds has the wrong type: "yes")");
  EXPECT_EQ(refusal(R"({"legs":3.5})"), "table.legs must be an integer, got 3.5");
  EXPECT_EQ(refusal(R"({"heights":0.5})"), "table.heights must be a list, got 0.5");
  EXPECT_EQ(refusal(R"({"heights":[0.5,"x"]})"), R"(table.heights has the wrong type: "x")");
  EXPECT_EQ(refusal(R"({"edge":[]})"), "table.edge must be an object, got []");
  EXPECT_EQ(refusal(R"({"edge":{"width":null}})"), "table.edge.width has the wrong type: null");
  EXPECT_EQ(refusal("[1]"), "table must be an object, got [1]");
}

TEST(Json, EnumsTakeTheirNamesOnly) {
  EXPECT_EQ(refusal(R"({"shape":"oval"})"), R"(table.shape must be one of {round, square}, got "oval")");
  EXPECT_EQ(refusal(R"({"shape":1})"), "table.shape must be one of {round, square}, got 1");
}

TEST(Json, ValuesMustLieInTheirRange) {
  EXPECT_EQ(refusal(R"({"legs":2})"), "table.legs must be at least 3, got 2");
  EXPECT_EQ(refusal(R"({"price":-1.0})"), "table.price must be at least 0, got -1.0");
  EXPECT_EQ(refusal(R"({"heights":[1,2.5]})"), "table.heights must be in [0, 2], got 2.5");
  EXPECT_EQ(refusal(R"({"edge":{"width":0}})"), "table.edge.width must be above 0, got 0");
}

// A parser that keeps the order of keys compares each with all before it, and nested values are copied and
// written by recursion: a file of a megabyte would take minutes, or more stack than there is.
TEST(Json, WhatIsNestedTooDeeplyOrHasTooManyKeysIsNone) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64)).is_array());
  EXPECT_TRUE(parse_json(nested(66)).is_discarded());
  EXPECT_TRUE(parse_json(nested(500'000)).is_discarded());
  const auto object = [](int keys) {
    std::string text = "{";
    for (int i = 0; i < keys; ++i) text += concat(i > 0 ? "," : "", '"', i, "\":0");
    return text + "}";
  };
  EXPECT_EQ(parse_json(object(10'000)).size(), 10'000U);
  EXPECT_TRUE(parse_json(object(10'002)).is_discarded());
  EXPECT_EQ(parse_json(concat('[', object(7'000), ',', object(7'000), ']')).size(), 2U);
  EXPECT_TRUE(parse_json(concat('[', object(8'000), ',', object(8'000), ']')).is_discarded());
  EXPECT_TRUE(parse_json("{").is_discarded());
}

TEST(Json, TextOfBytesThatAreNoUtf8) {
  EXPECT_EQ(json_text({{"path", "out\xff/a"}, {"n", 2}}), "{\"path\":\"out\uFFFD/a\",\"n\":2}");
  EXPECT_EQ(json_text({{"n", 2}}, 2), "{\n  \"n\": 2\n}");
}

}  // namespace
}  // namespace cm
