// A choice between option structs (OneOf in cm/base/fields.h), read, written and described as one flat
// section.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/io/json.h"
#include "cm/yaml/reader.h"
#include "cm/yaml/writer.h"
#include "support/message_of.h"

namespace cm {
namespace example {

struct Circle {
  static constexpr std::string_view kName = "circle";
  static constexpr std::string_view kHelp = "round";
  std::string colour = "red";
  double radius = 1.5;
};
template <class Visitor>
void fields(Visitor& visit, Circle& o) {
  visit("colour", o.colour, "of its line");
  visit("radius", o.radius, "in metres", above(0));
}

struct Box {
  static constexpr std::string_view kName = "box";
  static constexpr std::string_view kHelp = "with corners";
  std::string colour = "red";
  std::vector<int64_t> sides = {1, 2};
  std::optional<double> angle;
};
template <class Visitor>
void fields(Visitor& visit, Box& o) {
  visit("colour", o.colour, "of its line");
  visit("sides", o.sides, "in metres", at_least(1));
  visit("angle", o.angle, "in degrees");
}
inline void validate(const Box& o, const Complain& complain) {
  if (o.sides.size() != 2) complain("sides", concat("must be 2, got ", o.sides.size()));
}

using Shape = std::variant<Circle, Box>;

struct Drawing {
  Shape shape;
  std::optional<Shape> frame;
};
template <class Visitor>
void fields(Visitor& visit, Drawing& o) {
  visit("shape", o.shape, "what is drawn");
  visit("frame", o.frame, "around it");
}

}  // namespace example

template <>
struct ChoiceOf<example::Shape> {
  static constexpr std::string_view key = "kind";
};

namespace {

using example::Box;
using example::Circle;
using example::Drawing;
using test::message_of;
using testing::HasSubstr;

Drawing read_drawing(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return read_config<Drawing>(parse_yaml(yaml, "d.yaml"), overrides);
}

std::string mistake_in_drawing(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return message_of<InputError>([&] { read_drawing(yaml, overrides); });
}

TEST(Choice, TheKeyChoosesTheAlternative) {
  EXPECT_EQ(std::get<Circle>(read_drawing("").shape).radius, 1.5);
  EXPECT_EQ(std::get<Circle>(read_drawing("shape: {radius: 3}").shape).radius, 3);
  const Drawing drawing = read_drawing("shape: {sides: [3, 4], kind: box}\nframe: {kind: box}");
  EXPECT_THAT(std::get<Box>(drawing.shape).sides, testing::ElementsAre(3, 4));
  EXPECT_THAT(std::get<Box>(drawing.frame.value()).sides, testing::ElementsAre(1, 2));
  EXPECT_FALSE(read_drawing("frame: null").frame);
}

TEST(Choice, OverridesStandInAnyOrder) {
  for (const auto& overrides :
       {std::vector<std::string>{"shape.kind=box", "shape.angle=30"}, {"shape.angle=30", "shape.kind=box"}}) {
    EXPECT_EQ(std::get<Box>(read_drawing("shape: {colour: blue}", overrides).shape).angle, 30);
    EXPECT_EQ(std::get<Box>(read_drawing("shape: {colour: blue}", overrides).shape).colour, "blue");
  }
}

TEST(Choice, WhatWasWrittenReadsBack) {
  for (const example::Shape& shape :
       {example::Shape(Circle{"green", 2}), example::Shape(Box{"blue", {5, 6}, 4})}) {
    const Drawing drawing{shape, shape};
    EXPECT_EQ(to_yaml(read_drawing(to_yaml(drawing))), to_yaml(drawing));
    Drawing from_json;
    set_from_json(Json::parse(json_text(json_of(drawing))), "x", from_json);
    EXPECT_EQ(to_yaml(from_json), to_yaml(drawing));
  }
  EXPECT_EQ(to_yaml(Drawing{Box(), std::nullopt}),
            "shape:\n  kind: box\n  colour: red\n  sides: [1, 2]\n  angle: null\nframe: null\n");
}

// Resolved configs of an earlier version hold all keys.
TEST(Choice, AKeyOfAnotherAlternativeMayHoldItsDefault) {
  EXPECT_EQ(std::get<Circle>(read_drawing("shape: {radius: 2, angle: null}").shape).radius, 2);
  EXPECT_EQ(std::get<Box>(read_drawing("shape: {kind: box, radius: 1.5}").shape).colour, "red");
  EXPECT_EQ(std::get<Circle>(read_drawing("shape: {sides: null}").shape).colour, "red");
  EXPECT_EQ(std::get<Box>(read_drawing("shape: {kind: box}", {"shape.radius=1.5"}).shape).colour, "red");
}

TEST(Choice, OtherwiseItIsAMistake) {
  EXPECT_EQ(mistake_in_drawing("shape: {angle: 30}"),
            "d.yaml:1:16: shape.angle belongs to kind box, but kind is circle; remove it");
  EXPECT_EQ(mistake_in_drawing("shape: {kind: box}", {"shape.radius=2"}),
            "override 'shape.radius=2': shape.radius belongs to kind circle, but kind is box; remove it");
  EXPECT_THAT(mistake_in_drawing("shape: {sides: [1, 2]}"), HasSubstr("shape.sides belongs to kind box"));
}

TEST(Choice, MistakesAreThoseOfItsAlternative) {
  EXPECT_EQ(mistake_in_drawing("shape: {kind: boxx, angle: 3}"),
            "d.yaml:1:15: shape.kind must be one of {circle, box}, got 'boxx' (did you mean box?)");
  EXPECT_THAT(mistake_in_drawing("shape: {kind: box, sides: [1]}"),
              HasSubstr("shape.sides must be 2, got 1"));
  EXPECT_THAT(mistake_in_drawing("shape: {radius: 0}"), HasSubstr("shape.radius must be above 0, got 0"));
  EXPECT_THAT(mistake_in_drawing("shape: {angel: 3}"),
              HasSubstr("unknown key 'shape.angel' (did you mean shape.angle?)"));
  EXPECT_THAT(message_of<InputError>([] {
                Drawing drawing;
                set_from_json(Json{{"shape", {{"kind", "ball"}}}}, "x", drawing);
              }),
              HasSubstr("x.shape.kind must be one of {circle, box}"));
}

TEST(Choice, HelpSaysWhoseAKeyIs) {
  const std::string help = describe_fields<Drawing>();
  EXPECT_THAT(help, testing::StartsWith("shape: a section of keys\n"
                                        "    what is drawn\n"
                                        "shape.kind: one of {circle, box} (default circle)\n"
                                        "    circle: round; box: with corners\n"
                                        "shape.colour: a string (default red)\n"
                                        "    of its line\n"
                                        "shape.radius: a number, above 0 (default 1.5)\n"
                                        "    circle: in metres\n"
                                        "shape.sides: a list of integers, at least 1 (default [1, 2])\n"
                                        "    box: in metres\n"
                                        "shape.angle: a number or null (default null)\n"
                                        "    box: in degrees\n"
                                        "frame: a section of keys or null (default null)\n"));
}

}  // namespace
}  // namespace cm
