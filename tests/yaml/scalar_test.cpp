#include "cm/yaml/scalar.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "cm/base/random.h"

namespace cm {
namespace {

TEST(Scalar, IntegersInAnyNotationThatIsWhole) {
  EXPECT_EQ(parse_integer("12"), 12);
  EXPECT_EQ(parse_integer("-3"), -3);
  EXPECT_EQ(parse_integer("+3"), 3);
  EXPECT_EQ(parse_integer("1e6"), 1'000'000);
  EXPECT_EQ(parse_integer("2.5e1"), 25);
  EXPECT_EQ(parse_integer("3.0"), 3);
}

TEST(Scalar, IntegersAreDecimal) {
  EXPECT_EQ(parse_integer("064"), 64);
  EXPECT_EQ(parse_integer("010"), 10);
  EXPECT_EQ(parse_integer("-007"), -7);
  EXPECT_EQ(parse_unsigned("010"), 10U);
  for (const char* text : {"0x10", "0X10", "0b1", "0o17", "1e0x1", "0x1p3", "08h"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
    EXPECT_FALSE(parse_unsigned(text)) << text;
    EXPECT_FALSE(parse_number(text)) << text;
  }
}

TEST(Scalar, UnsignedIntegersReachAsFarAsTheirType) {
  EXPECT_EQ(parse_unsigned("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(parse_unsigned("+1e3"), 1000U);
  for (const char* text : {"-1", "18446744073709551616", "1.5", ""}) {
    EXPECT_FALSE(parse_unsigned(text)) << text;
  }
}

TEST(Scalar, IntegersBeyondDoublePrecisionAreExact) {
  EXPECT_EQ(parse_integer("9007199254740993"), 9007199254740993);
  EXPECT_EQ(parse_integer("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(parse_integer("-9223372036854775808"), std::numeric_limits<int64_t>::min());
}

TEST(Scalar, WhatIsNoInteger) {
  for (const char* text :
       {"", "3.5", "ten", "1 2", "9223372036854775808", "1e30", "1_000", "0x10", "+-3", "nan"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
  }
}

TEST(Scalar, Numbers) {
  EXPECT_EQ(parse_number("1e-4"), 1e-4);
  EXPECT_EQ(parse_number("80"), 80.0);
  EXPECT_EQ(parse_number("-.5"), -0.5);
  EXPECT_EQ(parse_number("5e-324"), std::numeric_limits<double>::denorm_min());
  for (const char* text : {"", "x", "1.2.3", "nan", ".nan", "inf", "-inf", ".inf", "1e999", "1,5", " 1"}) {
    EXPECT_FALSE(parse_number(text)) << text;
  }
}

TEST(Scalar, OnlyTrueAndFalseAreBools) {
  EXPECT_EQ(parse_bool("true"), true);
  EXPECT_EQ(parse_bool("false"), false);
  for (const char* text : {"", "True", "yes", "on", "1", "0"}) EXPECT_FALSE(parse_bool(text)) << text;
}

TEST(Scalar, DoublesAreShort) {
  EXPECT_EQ(yaml_text(1e-4), "1e-4");
  EXPECT_EQ(yaml_text(0.9999432189950708), "0.9999432189950708");
  EXPECT_EQ(yaml_text(80.0), "80");
  EXPECT_EQ(yaml_text(0.1), "0.1");
  EXPECT_EQ(yaml_text(1e20), "1e20");
  EXPECT_EQ(yaml_text(2.5e-8), "2.5e-8");
}

TEST(Scalar, EveryDoubleReadsBackBitForBit) {
  std::vector<double> values = {0.0, -0.0, 0.1 + 0.2, 1.0 / 3, std::nextafter(1.0, 2.0)};
  for (const double limit : {std::numeric_limits<double>::max(), std::numeric_limits<double>::min(),
                             std::numeric_limits<double>::denorm_min()}) {
    values.insert(values.end(), {limit, -limit});
  }
  for (uint32_t i = 0; i < 10'000; ++i) values.push_back(std::bit_cast<double>(RandomKey{.seed = 1}.bits(i)));
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    const auto read = parse_number(yaml_text(value));
    ASSERT_TRUE(read) << yaml_text(value);
    EXPECT_EQ(std::bit_cast<uint64_t>(*read), std::bit_cast<uint64_t>(value)) << yaml_text(value);
  }
}

TEST(Scalar, StringsAreQuotedWhereTheyMust) {
  for (const std::string text :
       {"digits", "data/cifar-10.npz", "./x", "../x", "/data/x_1", "l2", "nullify"}) {
    EXPECT_EQ(yaml_text(text), text);
  }
  EXPECT_EQ(yaml_text(std::string()), "\"\"");
  for (const std::string text :
       {"true", "No",  "null", "~",   "123", "1e5", ".5", ".inf", "-x", "a b", "a: b",
        "a #b", "[x]", "{x",   "x,y", "*x",  "&x",  "!x", "'x'",  "%",  "@x",  "größe"}) {
    EXPECT_EQ(yaml_text(text), "\"" + text + "\"");
  }
  EXPECT_EQ(yaml_text(std::string("a\"b\\c\nd\te\x7f")), "\"a\\\"b\\\\c\\x0ad\\x09e\\x7f\"");
}

}  // namespace
}  // namespace cm
