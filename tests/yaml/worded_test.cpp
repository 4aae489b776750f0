#include <gtest/gtest.h>

#include "cm/yaml/reader.h"
#include "support/mistakes_of.h"

namespace cm {
namespace {

// "3 dozen" of something.
struct Dozens {
  int64_t count = 1;
  static constexpr std::string_view kPhrase = "a number of dozens (3dz)";
  static std::optional<Dozens> parse(std::string_view word) {
    return word == "2dz" ? std::optional(Dozens{2}) : std::nullopt;
  }
  std::string word() const { return std::to_string(count) + "dz"; }
};

struct Basket {
  Dozens eggs;
};
template <class Visitor>
void fields(Visitor& visit, Basket& o) {
  visit("eggs", o.eggs, "in it");
}

Basket basket_of(const std::string& text) {
  return read_config<Basket>(parse_yaml(text, "run.yaml"));
}

TEST(Worded, IsReadAndWrittenAsItsWord) {
  EXPECT_EQ(basket_of("eggs: 2dz\n").eggs.count, 2);
  EXPECT_EQ(to_yaml(Basket{{2}}), "eggs: 2dz\n");
  const FieldHelp help = field_help<Basket>().front();
  EXPECT_EQ(help.type, "a number of dozens (3dz)");
  EXPECT_EQ(help.default_value, "1dz");
}

TEST(Worded, OtherWordsAreMistakes) {
  EXPECT_EQ(mistakes_of([] { basket_of("eggs: 3\n"); }),
            std::vector<std::string>{"run.yaml:1:7: eggs must be a number of dozens (3dz), got '3'"});
  EXPECT_EQ(mistakes_of([] { basket_of("eggs: [2dz]\n"); }),
            std::vector<std::string>{"run.yaml:1:7: eggs must be a number of dozens (3dz), got a list"});
}

}  // namespace
}  // namespace cm
