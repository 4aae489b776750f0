#include "cm/nn/inception.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/synthetic_inception.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// One network for all tests.
const Inception& inception() {
  static const Inception made(test::synthetic_inception_weights(), torch::kCPU, "synthetic weights");
  return made;
}

Tensor random_pictures(int64_t count) {
  return normal({.seed = 4}, sample_range(0, count), {3, 299, 299}).clamp(-1, 1);
}

// As many parameters as torchvision counts in its network with 1,008 classes, without the auxiliary
// classifier and the last bias.
constexpr int64_t kParameters = 23849952;

TEST(Inception, HasTheWeightsOfTheTensorFlowNetwork) {
  const auto like = Inception::weights_like();
  EXPECT_EQ(like.size(), 94U * 5 + 1);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : like) {
    if (name.find("running_") == std::string::npos) parameters += tensor.numel();
  }
  EXPECT_EQ(parameters, kParameters);
  EXPECT_EQ(like.at("Mixed_6d.branch7x7dbl_5.conv.weight").sizes(), torch::IntArrayRef({192, 160, 1, 7}));
  EXPECT_EQ(like.at("fc.weight").sizes(), torch::IntArrayRef({1008, 2048}));
}

TEST(Inception, GivesWhatIsAskedForAndTheSameInAnyCompany) {
  const Tensor images = random_pictures(2);
  const auto all = inception().forward(images, {.pool = true, .spatial = true, .logits = true});
  EXPECT_EQ(all.pool.sizes(), torch::IntArrayRef({2, 2048}));
  EXPECT_EQ(all.spatial.sizes(), torch::IntArrayRef({2, 2023}));
  EXPECT_EQ(all.logits.sizes(), torch::IntArrayRef({2, 1008}));
  EXPECT_GE(all.pool.min().item<double>(), 0);
  EXPECT_GE(all.spatial.min().item<double>(), 0);
  const auto spatial = inception().forward(images, {.pool = false, .spatial = true});
  EXPECT_TRUE(torch::equal(spatial.spatial, all.spatial));
  EXPECT_FALSE(spatial.pool.defined() || spatial.logits.defined());
  const auto logits = inception().forward(images, {.pool = false, .logits = true});
  EXPECT_TRUE(torch::equal(logits.logits, all.logits));
  EXPECT_FALSE(logits.pool.defined() || logits.spatial.defined());
}

TEST(Inception, AnImageDoesNotSeeTheOthers) {
  const Tensor images = random_pictures(2);
  const Tensor together = inception().forward(images, {}).pool;
  const Tensor alone = inception().forward(images.narrow(0, 1, 1), {}).pool;
  EXPECT_LT(test::relative_difference(together.narrow(0, 1, 1), alone), 1e-5);
  EXPECT_GT(test::relative_difference(together.narrow(0, 0, 1), alone), 1e-3);
}

TEST(Inception, RefusesOtherWeights) {
  auto weights = Inception::weights_like();
  weights.erase("Mixed_7c.branch_pool.conv.weight");
  weights["fc.bias"] = torch::empty({1008}, torch::kMeta);
  weights["fc.weight"] = torch::empty({1000, 2048}, torch::kMeta);
  EXPECT_THAT(test::message_of<InputError>([&] { const Inception made(weights, torch::kCPU, "w"); }),
              AllOf(HasSubstr("w: weights of another network, 3 tensors differ"),
                    HasSubstr("Mixed_7c.branch_pool.conv.weight [192, 2048, 1, 1] is missing"),
                    HasSubstr("fc.weight is [1000, 2048], the network needs [1008, 2048]")));
}

TEST(Inception, RefusesImagesOfAnotherSize) {
  EXPECT_THROW(inception().forward(torch::zeros({1, 3, 298, 299}), {}), c10::Error);
  EXPECT_THROW(inception().forward(torch::zeros({1, 1, 299, 299}), {}), c10::Error);
}

}  // namespace
}  // namespace cm
