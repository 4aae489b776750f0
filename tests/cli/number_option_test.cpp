#include "cm/cli/number_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <optional>

#include "cm/base/error.h"
#include "src/cli/class_labels.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Numbers {
  int64_t num = 8;
  double gain = 0.5;
  std::optional<int64_t> steps;
  std::optional<uint64_t> seed;
  std::optional<double> ema;
  std::vector<int64_t> indices;
  std::vector<double> sigmas;
};

void declare_numbers(CLI::App& app, Numbers& numbers) {
  add_number_option(app, "--num", numbers.num, "how many", within(1, 1000))->capture_default_str();
  add_number_option(app, "--gain", numbers.gain, "how much", above(0))->capture_default_str();
  add_number_option(app, "--steps", numbers.steps, "steps", within(-9, 9));
  add_number_option(app, "--seed", numbers.seed, "seed");
  add_number_option(app, "--ema", numbers.ema, "rate", from_below(0, 1));
  add_number_option(app, "--indices", numbers.indices, "indices", within(0, 39));
  add_number_option(app, "--sigmas", numbers.sigmas, "levels");
}

Numbers numbers_of(std::vector<const char*> arguments) {
  CLI::App app("A test.", "cm-test");
  Numbers numbers;
  declare_numbers(app, numbers);
  arguments.insert(arguments.begin(), "cm-test");
  app.parse(static_cast<int>(arguments.size()), arguments.data());
  return numbers;
}

std::string number_mistake(const std::vector<const char*>& arguments) {
  return message_of<InputError>([&] { numbers_of(arguments); });
}

TEST(NumberOption, ReadsDecimalNumbersOfEachKind) {
  const Numbers read =
      numbers_of({"--num", "064", "--gain=010.5", "--steps", "-3", "--seed", "18446744073709551615", "--ema",
                  "0", "--indices", "0,022,39", "--sigmas", "80,", "6.6e-1"});
  EXPECT_EQ(read.num, 64);
  EXPECT_EQ(read.gain, 10.5);
  EXPECT_EQ(read.steps, -3);
  EXPECT_EQ(read.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(read.ema, 0.0);
  EXPECT_THAT(read.indices, ElementsAre(0, 22, 39));
  EXPECT_THAT(read.sigmas, ElementsAre(80, 0.66));
  EXPECT_EQ(numbers_of({"--num", "1e3"}).num, 1000);
}

TEST(NumberOption, WhatIsNotGivenKeepsItsValue) {
  const Numbers read = numbers_of({});
  EXPECT_EQ(read.num, 8);
  EXPECT_FALSE(read.steps);
  EXPECT_TRUE(read.indices.empty());
}

TEST(NumberOption, RefusesOtherNotationsAndWhatIsNoNumber) {
  for (const char* word : {"0x10", "0b11", "0o7", "1.5", "ten", "", " 3", "3 4", "99999999999999999999"}) {
    EXPECT_EQ(number_mistake({"--num", word}),
              std::string("--num must be an integer in [1, 1000], got '") + word + "'");
  }
  for (const char* word : {"0x1p3", "nan", "inf", "-inf", "1e999", "", "1,5"}) {
    EXPECT_EQ(number_mistake({"--gain", word}),
              std::string("--gain must be a number above 0, got '") + word + "'");
  }
  EXPECT_EQ(number_mistake({"--indices", "0,0x16"}), "--indices must be an integer in [0, 39], got '0x16'");
  EXPECT_EQ(number_mistake({"--sigmas", "80,nan"}), "--sigmas must be a number, got 'nan'");
}

TEST(NumberOption, RefusesWhatLiesOutsideItsRange) {
  EXPECT_EQ(number_mistake({"--num", "0"}), "--num must be an integer in [1, 1000], got '0'");
  EXPECT_EQ(number_mistake({"--num", "2147483648"}),
            "--num must be an integer in [1, 1000], got '2147483648'");
  EXPECT_EQ(number_mistake({"--ema", "1"}), "--ema must be a number in [0, 1), got '1'");
  EXPECT_EQ(number_mistake({"--indices", "3,40"}), "--indices must be an integer in [0, 39], got '40'");
}

TEST(NumberOption, HelpNamesKindAndDefault) {
  CLI::App app("A test.", "cm-test");
  Numbers numbers;
  declare_numbers(app, numbers);
  const std::string help = app.help();
  EXPECT_THAT(help, ContainsRegex("--num INTEGER.?.?8"));
  EXPECT_THAT(help, ContainsRegex("--gain NUMBER.?.?0.5"));
  EXPECT_THAT(help, HasSubstr("--sigmas NUMBER ..."));
  EXPECT_THAT(help, Not(HasSubstr("FLOAT")));
}

TEST(NumberOption, ListsOfClassesAreReadAlike) {
  EXPECT_EQ(class_labels("03", 10, 1).item<int64_t>(), 3);
  EXPECT_THAT(message_of<InputError>([] { class_labels("0x3", 10, 1); }), HasSubstr("got '0x3'"));
}

}  // namespace
}  // namespace cm
