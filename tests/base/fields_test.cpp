#include "cm/base/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "support/message_of.h"

namespace cm {

enum class Colour { red, dark_blue };

namespace {

using ::testing::ElementsAre;

struct Brush {
  double width = 1;
};
template <class Visitor>
void fields(Visitor& visit, Brush& o) {
  visit("width", o.width, "in pixels", above(0));
}
[[maybe_unused]] void validate(const Brush& brush, const Complain& complain) {
  if (brush.width > 9) complain("width", "must be thin");
}

TEST(Range, DescribesItselfInWords) {
  EXPECT_EQ(at_least(1).describe(), "at least 1");
  EXPECT_EQ(above(0).describe(), "above 0");
  EXPECT_EQ(within(0, 1).describe(), "in [0, 1]");
  EXPECT_EQ(from_below(0, 1).describe(), "in [0, 1)");
  EXPECT_EQ((Range{.max = 5}).describe(), "at most 5");
  EXPECT_EQ(within(1, 1'000'000'000'000).describe(), "in [1, 1000000000000]");
  EXPECT_EQ(within(1e-9, 1 << 20).describe(), "in [1e-09, 1048576]");
  EXPECT_EQ((Range{.max = 5, .open_max = true}).describe(), "below 5");
  EXPECT_EQ((Range{.min = 0, .max = 1, .open_min = true}).describe(), "in (0, 1]");
  EXPECT_EQ(Range{}.describe(), "a number");
}

TEST(Range, ContainsItsClosedEndsOnly) {
  EXPECT_TRUE(within(0, 1).contains(0));
  EXPECT_TRUE(within(0, 1).contains(1));
  EXPECT_FALSE(within(0, 1).contains(1.001));
  EXPECT_TRUE(from_below(0, 1).contains(0.999));
  EXPECT_FALSE(from_below(0, 1).contains(1));
  EXPECT_FALSE(above(0).contains(0));
  EXPECT_FALSE(at_least(1).contains(0.5));
}

TEST(Range, NeverContainsNotANumber) {
  EXPECT_FALSE(Range{}.contains(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(above(0).contains(std::numeric_limits<double>::quiet_NaN()));
}

TEST(EnumNames, GoBothWays) {
  EXPECT_EQ(to_string(Colour::dark_blue), "dark_blue");
  EXPECT_EQ(from_name<Colour>("red"), Colour::red);
  EXPECT_EQ(from_name<Colour>("Red"), std::nullopt);
  EXPECT_EQ(from_name<Colour>(""), std::nullopt);
  EXPECT_THAT(all_names<Colour>(), ElementsAre("red", "dark_blue"));
}

TEST(Fields, ConceptsSeeWhatAStructDescribes) {
  EXPECT_TRUE(HasFields<Brush>);
  EXPECT_TRUE(HasValidate<Brush>);
  EXPECT_FALSE(HasFields<double>);
  EXPECT_FALSE(HasValidate<Colour>);
  EXPECT_TRUE(NamedEnum<Colour>);
  EXPECT_FALSE(NamedEnum<Brush>);
}

enum class Shade { light, very_dark, none };
enum class Single { only };

}  // namespace

template <>
inline constexpr std::string_view kNameOf<Shade::very_dark> = "very-dark";

namespace {

TEST(EnumNames, AreTheIdentifiersUnlessAValueIsCalledOtherwise) {
  EXPECT_EQ(all_names<Shade>(), (std::vector<std::string>{"light", "very-dark", "none"}));
  EXPECT_EQ(all_names<Single>(), std::vector<std::string>{"only"});
  EXPECT_EQ(to_string(Shade::very_dark), "very-dark");
  EXPECT_EQ(to_string(Shade::none), "none");
  EXPECT_EQ(from_name<Shade>("very-dark"), Shade::very_dark);
  EXPECT_FALSE(from_name<Shade>("very_dark"));
  EXPECT_EQ(to_string(static_cast<Shade>(3)), "?");
}

TEST(Fields, MistakesAreRefusedTogether) {
  const auto refuse = [](double width) {
    refuse_mistakes("brush.", [&](const Complain& complain) {
      validate(Brush{.width = width}, complain);
      if (width > 10) complain("colour", "must be given");
    });
  };
  refuse(1);
  EXPECT_THAT(test::message_of<InputError>([&] { refuse(11); }),
              "brush.width must be thin\nbrush.colour must be given");
}

}  // namespace
}  // namespace cm
