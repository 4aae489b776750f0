#include "cm/yaml/known_keys.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

const KnownKeys& keys() {
  static const KnownKeys known({"name", "train", "train.steps", "train.batch_size", "optimizer",
                                "optimizer.lr", "sampler", "sampler.steps"});
  return known;
}

TEST(KnownKeys, Contains) {
  EXPECT_TRUE(keys().contains("train"));
  EXPECT_TRUE(keys().contains("train.steps"));
  EXPECT_FALSE(keys().contains("steps"));
  EXPECT_FALSE(keys().contains(""));
}

TEST(KnownKeys, TheNearestKeyOfTheSection) {
  EXPECT_EQ(keys().suggestion("train.stesp"), " (did you mean train.steps?)");
  EXPECT_EQ(keys().suggestion("trian"), " (did you mean train?)");
}

TEST(KnownKeys, SeveralWrongWords) {
  EXPECT_EQ(keys().suggestion("trian.batchsize"), " (did you mean train.batch_size?)");
}

TEST(KnownKeys, TheSameWordInAnotherSection) {
  EXPECT_EQ(keys().suggestion("lr"), " (did you mean optimizer.lr?)");
  EXPECT_EQ(keys().suggestion("train.lr"), " (did you mean optimizer.lr?)");
  EXPECT_EQ(keys().suggestion("adam.lr"), " (did you mean optimizer.lr?)");
  EXPECT_EQ(keys().suggestion("steps"), " (did you mean train.steps or sampler.steps?)");
}

TEST(KnownKeys, NothingIsLikeIt) {
  EXPECT_EQ(keys().suggestion("quantization"), "");
}

}  // namespace
}  // namespace cm
