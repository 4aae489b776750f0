#include "cm/training/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

const ImageSpec kImage = {.channels = 1, .size = 2, .classes = 0};

Tensor draws(double offset) {
  return torch::arange(5 * 4, torch::kFloat32).view({5, 1, 2, 2}) + offset;
}

TEST(Replay, GivesSlicesOfTheFile) {
  const TemporaryFolder folder;
  save_safetensors(folder / "n.safetensors",
                   {{"x_T", draws(0)}, {"noise.0", draws(100)}, {"noise.1", draws(200).to(torch::kFloat64)}});
  const auto batch = [&] { return Replay(folder / "n.safetensors", kImage, 4).batch(1, 3); }();
  EXPECT_TRUE(torch::equal(batch.x_T, draws(0).narrow(0, 1, 3)));
  EXPECT_TRUE(torch::equal(batch.noise(0), draws(100).narrow(0, 1, 3)));
  EXPECT_TRUE(torch::equal(batch.noise(1), draws(200).narrow(0, 1, 3)));  // in fp32
  EXPECT_THAT(message_of<InputError>([&] { batch.noise(2); }),
              HasSubstr("n.safetensors: has no tensor noise.2, which this sampler draws"));
}

TEST(Replay, FilesThatDoNotFitAreMistakes) {
  const TemporaryFolder folder;
  const auto complaint = [&](const NamedTensors& tensors, int64_t count) {
    save_safetensors(folder / "n.safetensors", tensors);
    return message_of<InputError>([&] { Replay(folder / "n.safetensors", kImage, count); });
  };
  EXPECT_THAT(complaint({{"noise.0", draws(0)}}, 2), HasSubstr("has no tensor x_T"));
  EXPECT_THAT(complaint({{"x_T", draws(0)}}, 6),
              HasSubstr("x_T must have the shape [6, 1, 2, 2], got [5, 1, 2, 2]"));
  EXPECT_THAT(complaint({{"x_T", draws(0)}, {"noise.3", draws(0).flatten()}}, 2),
              HasSubstr("noise.3 must have the shape [2, 1, 2, 2], got [20]"));
}

}  // namespace
}  // namespace cm
