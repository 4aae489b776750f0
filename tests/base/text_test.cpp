#include "cm/base/text.h"

#include <gtest/gtest.h>

#include <chrono>

#include <limits>

namespace cm {
namespace {

TEST(Text, ConcatStreamsItsParts) {
  EXPECT_EQ(concat("a", 1, ' ', 2.5), "a1 2.5");
}

TEST(Text, JoinKeepsEmptyWords) {
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a", "b"}), "a, b");
  EXPECT_EQ(join({"", "b", ""}, "|"), "|b|");
}

TEST(Text, EnumerateNamesTheLastWordApart) {
  EXPECT_EQ(enumerate({}, "or"), "");
  EXPECT_EQ(enumerate({"a"}, "or"), "a");
  EXPECT_EQ(enumerate({"a", "b"}, "and"), "a and b");
  EXPECT_EQ(enumerate({"a", "b", "c"}, "or"), "a, b or c");
}

TEST(Text, NearestFindsTheWordThatWasMeant) {
  const std::vector<std::string> words = {"l2", "pseudo_huber", "lpips"};
  EXPECT_EQ(nearest("pseudo_hubber", words), "pseudo_huber");
  EXPECT_EQ(nearest("l1", words), "l2");
  EXPECT_EQ(nearest("lpips", words), "lpips");
}

TEST(Text, NearestGivesUpOnDistantWords) {
  EXPECT_EQ(nearest("cosine", {"l2", "pseudo_huber", "lpips"}), "");
  EXPECT_EQ(nearest("anything", {}), "");
}

TEST(Text, NearestOfAWordThatIsAFileTakesNoTime) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(nearest(std::string(3'000'000, 'l'), {"l2", "pseudo_huber", "lpips"}), "");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100));
}

TEST(Text, DidYouMean) {
  EXPECT_EQ(did_you_mean("batchsize", {"batch_size", "steps"}), " (did you mean batch_size?)");
  EXPECT_EQ(did_you_mean("zzz", {"batch_size", "steps"}), "");
}

TEST(Text, PercentHasTwoDigits) {
  EXPECT_EQ(percent(0.1), "10 %");
  EXPECT_EQ(percent(0.000234), "0.023 %");
}

TEST(Text, HumanDuration) {
  EXPECT_EQ(human_duration(1.26), "1.2 s");
  EXPECT_EQ(human_duration(200), "3 min 20 s");
  EXPECT_EQ(human_duration(7500), "2 h 5 min");
  EXPECT_EQ(human_duration(-1), "?");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::infinity()), "?");
}

TEST(Text, HumanBytes) {
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes(3.0 * 1024 * 1024 * 1024), "3.00 GiB");
}

TEST(Text, HumanCount) {
  EXPECT_EQ(human_count(980), "980");
  EXPECT_EQ(human_count(1'150'000), "1.15 M");
  EXPECT_EQ(human_count(296e6), "296 M");
  EXPECT_EQ(human_count(12.3456), "12.3");
}

}  // namespace
}  // namespace cm
