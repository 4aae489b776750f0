// Every fuzz target without the fuzzer: what it must take, and some of what it must not fall over.
#include <gtest/gtest.h>

#include <random>

#include "cm/base/log.h"
#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

constexpr int kVariants = 60;  // of a seed

std::string damaged(std::string input, std::mt19937& random) {
  const auto below = [&](size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random); };
  const size_t at = below(input.size());
  switch (below(4)) {
    case 0:
      return input.substr(0, at);
    case 1:
      input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
      return input;
    case 2:
      return input.erase(at, 1 + below(8));
    default:
      return input.insert(at, input.substr(below(input.size()), 1 + below(8)));
  }
}

TEST(FuzzTargets, TakeTheirSeeds) {
  silence_log();
  ASSERT_FALSE(targets().empty());
  for (const Target& target : targets()) {
    for (const std::string& seed : target.seeds()) {
      EXPECT_NO_THROW(target.read(seed)) << target.name << ": " << seed;
    }
  }
}

TEST(FuzzTargets, ThrowNothingButErrorsOfDamagedSeeds) {
  silence_log();
  std::mt19937 random(1);
  testing::internal::CaptureStderr();  // what decoders and commands say of them
  for (const Target& target : targets()) {
    for (const std::string& seed : target.seeds()) {
      for (int i = 0; i < kVariants; ++i) {
        const std::string input = damaged(seed, random);
        EXPECT_NO_THROW(accepts(target, input)) << target.name << ": " << input;
      }
    }
  }
  testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace cm::fuzz
