#include "cm/training/shared_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "support/closeness.h"
#include "support/message_of.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

constexpr int64_t kCount = 5;
constexpr int64_t kWalkBatch = 2;  // three batches
constexpr uint64_t kSeed = 7;

class SharedWalkTest : public testing::Test {
 protected:
  SharedWalk walk() {
    return {model_, labels_, {.count = kCount, .batch = kWalkBatch, .seed = kSeed, .before_batch = [this] {
                                ++batches_;
                              }}};
  }

  Tensor whole(const std::vector<double>& sigmas) const {
    const SamplerOptions sampler = choose_sampler({.sigmas = sigmas}, model_.options());
    return sample(model_, sampler, seeded_noise(model_.options(), sampler, kSeed, 0, kCount), labels_);
  }

  const Model model_ = test::tiny_model(test::tiny_options(), 3);
  const Tensor labels_ = torch::tensor({0, 1, 2, 0, 1});
  int64_t batches_ = 0;
};

TEST_F(SharedWalkTest, ItsImagesAreThoseOfWholeWalks) {
  SharedWalk shared = walk();
  for (const std::vector<double>& sigmas : std::vector<std::vector<double>>{
           {80}, {80, 5}, {80, 0.8}, {80, 5}, {80, 5, 0.3}, {80, 5, 0.2}, {80, 0.8, 0.3}, {80, 7, 5, 3}}) {
    const Tensor images = shared.images(sigmas);
    EXPECT_EQ(images.sizes(), torch::IntArrayRef({kCount, 1, 4, 4}));
    EXPECT_LT(test::largest_difference(images, whole(sigmas)), 1e-5) << sigmas.back();
  }
}

TEST_F(SharedWalkTest, ASharedBeginningIsComputedOnce) {
  SharedWalk shared = walk();
  shared.images({80, 5});  // along {80}, then from there
  EXPECT_EQ(batches_, 2 * 3);
  shared.images({80, 0.8});
  EXPECT_EQ(batches_, 3 * 3);
  shared.images({80, 0.8, 0.3});  // along {80, 0.8} from {80}, then from there
  EXPECT_EQ(batches_, 5 * 3);
  shared.images({80, 0.8, 0.2});
  EXPECT_EQ(batches_, 6 * 3);
}

TEST_F(SharedWalkTest, IsGuidedInEveryStep) {
  ModelOptions options = test::tiny_options();
  options.label_dropout = 0.1;
  const Model model = test::tiny_model(options, 3);
  SharedWalk shared(model, labels_, {.count = kCount, .batch = kWalkBatch, .seed = kSeed, .guidance = {3}});
  const SamplerOptions sampler = choose_sampler({.sigmas = {80, 5}, .guidance = {3}}, options);
  const Tensor alone = sample(model, sampler, seeded_noise(options, sampler, kSeed, 0, kCount), labels_);
  EXPECT_LT(test::largest_difference(shared.images({80, 5}), alone), 1e-5);
  EXPECT_GT(test::largest_difference(alone, whole({80, 5})), 1e-4);
}

TEST_F(SharedWalkTest, GoesOnAfterAnInterruption) {
  bool stop = false;
  SharedWalk shared(model_, labels_,
                    {.count = kCount, .batch = kWalkBatch, .seed = kSeed, .before_batch = [&] {
                       if (stop) throw std::runtime_error("stop");
                     }});
  shared.images({80, 5});
  stop = true;
  EXPECT_EQ(message_of<std::runtime_error>([&] { shared.images({80, 0.8, 0.3}); }), "stop");
  stop = false;
  EXPECT_LT(test::largest_difference(shared.images({80, 0.8, 0.3}), whole({80, 0.8, 0.3})), 1e-5);
}

TEST_F(SharedWalkTest, ModelsWithoutClassesHaveNoLabels) {
  ModelOptions options = test::tiny_options();
  options.image.classes = 0;
  const Model model = test::tiny_model(options, 3);
  SharedWalk shared(model, {}, {.count = 3, .batch = 3});
  const SamplerOptions sampler = choose_sampler({.sigmas = {80, 5}}, options);
  const Tensor alone = sample(model, sampler, seeded_noise(options, sampler, 0, 0, 3), {});
  EXPECT_TRUE(torch::equal(shared.images({80, 5}), alone));
}

TEST_F(SharedWalkTest, NeedsATimePoint) {
  SharedWalk shared = walk();
  EXPECT_THAT(message_of<c10::Error>([&] { shared.images({}); }), HasSubstr("a walk needs a time point"));
}

}  // namespace
}  // namespace cm
