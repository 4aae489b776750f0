#include "cm/nn/perceptron.h"

#include <gtest/gtest.h>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"

namespace cm {
namespace {

constexpr ImageSpec kPoints{.channels = 2, .size = 1, .classes = 0};

Tensor points(int64_t count) {
  return normal({.seed = 3}, sample_range(0, count), {2, 1, 1});
}

TEST(Perceptron, AnswersEachSampleForItself) {
  Perceptron network({.width = 16, .hidden_layers = 2}, kPoints, 1);
  const Tensor x = points(4);
  const Tensor time = torch::tensor({-1.5F, 0.0F, 0.3F, 1.0F});
  const Tensor all = network.forward(x, {time});
  EXPECT_EQ(all.sizes(), x.sizes());
  const Tensor one = network.forward(x.narrow(0, 2, 1), {time.narrow(0, 2, 1)});
  EXPECT_LT(test::largest_difference(one, all.narrow(0, 2, 1)), 1e-6);
}

TEST(Perceptron, TellsTimesApart) {
  Perceptron network({.width = 16, .hidden_layers = 2}, kPoints, 1);
  const Tensor x = points(1);
  const Tensor early = network.forward(x, {torch::tensor({0.2F})});
  EXPECT_GT(test::largest_difference(network.forward(x, {torch::tensor({0.6F})}), early), 1e-3);
}

TEST(Perceptron, TellsWhereToGoApart) {
  Perceptron network({.width = 16, .hidden_layers = 2, .second_time = true}, kPoints, 1);
  const Tensor x = points(1);
  const auto to = [&](float s) {
    return network.forward(x, {.time = torch::tensor({0.6F}), .second_time = torch::tensor({s})});
  };
  EXPECT_GT(test::largest_difference(to(0.2F), to(0.5F)), 1e-3);
}

// One layer more than there are hidden ones: (2 + 9) · 16 + 16, 16 · 16 + 16, 16 · 2 + 2.
TEST(Perceptron, HasTheParametersThatItsOptionsSay) {
  const Perceptron network({.width = 16, .hidden_layers = 2}, kPoints);
  EXPECT_EQ(parameter_count(network), 192 + 272 + 34);
  for (const auto& parameter : network.parameters()) EXPECT_EQ(test::largest(parameter.detach()), 0);
}

TEST(Perceptron, RefusesClasses) {
  EXPECT_THROW(Perceptron({}, {.channels = 2, .size = 1, .classes = 3}), c10::Error);
}

}  // namespace
}  // namespace cm
