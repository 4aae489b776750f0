#include "src/data/digits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/shipped_data.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

std::unique_ptr<Dataset> open_digits(const std::string& path, bool labels) {
  return digits_kind().open({.path = path, .labels = labels});
}

using test::kDigits;
using test::message_of;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

// A line of the file, without its end, with every pixel `value`.
std::string line_of(const std::string& value, const std::string& digit) {
  std::string line;
  for (int i = 0; i < 64; ++i) line += value + ",";
  return line + digit;
}

// What opening a file with this text says.
std::string complaint(const std::string& text) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "d.csv", text);
  return message_of<InputError>([&] { open_digits(folder / "d.csv", true); });
}

TEST(Digits, ShipWithTheProject) {
  const auto digits = open_digits(kDigits, true);
  ASSERT_EQ(digits->size(), 1797);
  EXPECT_EQ(digits->channels(), 1);
  EXPECT_EQ(digits->image_size(), 8);
  EXPECT_EQ(digits->classes(), 10);

  std::array<int, 10> counts{};
  for (int64_t i = 0; i < digits->size(); ++i) ++counts.at(static_cast<size_t>(digits->get(i).label));
  EXPECT_THAT(counts, ElementsAre(178, 182, 177, 183, 181, 182, 181, 179, 174, 180));
}

TEST(Digits, SpreadInkOverEightBits) {
  const Example first = open_digits(kDigits, true)->get(0);
  EXPECT_EQ(first.label, 0);
  const Tensor ink = torch::tensor({{0, 0, 5, 13, 9, 1, 0, 0},
                                    {0, 0, 13, 15, 10, 15, 5, 0},
                                    {0, 3, 15, 2, 0, 11, 8, 0},
                                    {0, 4, 12, 0, 0, 8, 8, 0},
                                    {0, 5, 8, 0, 0, 9, 8, 0},
                                    {0, 4, 11, 0, 1, 12, 7, 0},
                                    {0, 2, 14, 5, 10, 12, 0, 0},
                                    {0, 0, 6, 13, 10, 0, 0, 0}});
  const Tensor expected = (ink * 255.0 / 16.0).round().to(torch::kUInt8).unsqueeze(0);
  EXPECT_TRUE(torch::equal(first.pixels, expected));
}

TEST(Digits, HaveNoClassesWithoutLabels) {
  const auto digits = open_digits(kDigits, false);
  EXPECT_EQ(digits->classes(), 0);
  EXPECT_EQ(digits->get(1).label, 0);
}

TEST(Digits, ReadPlainTextWithAnyLineEnd) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "d.csv", line_of("16", "7") + "\r\n" + line_of("0", "3"));
  const auto digits = open_digits(folder / "d.csv", true);
  ASSERT_EQ(digits->size(), 2);
  EXPECT_EQ(digits->get(0).label, 7);
  EXPECT_EQ(digits->get(0).pixels.min().item<int>(), 255);
  EXPECT_EQ(digits->get(1).pixels.max().item<int>(), 0);
}

TEST(Digits, NameTheLineOfAMistake) {
  const std::string good = line_of("1", "1") + "\n";
  EXPECT_THAT(complaint(good + line_of("17", "1")), HasSubstr("d.csv:2: pixel 1 is 17, expected 0 to 16"));
  EXPECT_THAT(complaint(good + line_of("-1", "1")), HasSubstr("d.csv:2: pixel 1 is -1"));
  EXPECT_THAT(complaint(line_of("1", "10")), HasSubstr("d.csv:1: digit 10, expected 0 to 9"));
  EXPECT_THAT(complaint(good + good + line_of("1.5", "1")), HasSubstr("d.csv:3: not integers"));
  EXPECT_THAT(complaint(good + "1,2,3\n"), HasSubstr("d.csv:2: 3 numbers, expected 65"));
  EXPECT_THAT(complaint(good + "\n" + good), HasSubstr("d.csv:2: not integers"));
}

TEST(Digits, CountTheMistakesBeyondTen) {
  std::string text;
  for (int i = 0; i < 13; ++i) text += "x\n";
  const std::string message = complaint(text);
  EXPECT_THAT(message, HasSubstr("d.csv:10: "));
  EXPECT_THAT(message, testing::Not(HasSubstr("d.csv:11: ")));
  EXPECT_THAT(message, HasSubstr("3 more mistakes"));
}

TEST(Digits, RefuseDamagedFiles) {
  EXPECT_THAT(complaint(""), HasSubstr("d.csv: empty file"));
  const TemporaryFolder folder;
  const std::string whole = read_file(kDigits);
  write_file_atomically(folder / "half.csv.gz", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(message_of<InputError>([&] { open_digits(folder / "half.csv.gz", true); }),
              HasSubstr("half.csv.gz: damaged or truncated"));
  EXPECT_THAT(message_of<InputError>([&] { open_digits(folder / "none", true); }),
              HasSubstr("can't be opened"));
}

TEST(Digits, AreAKindOfData) {
  test::expect_laws_of_a_kind({.kind = {"digits"}, .path = test::kDigits});
}

}  // namespace
}  // namespace cm
