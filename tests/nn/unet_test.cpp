#include "cm/nn/networks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/message_of.h"
#include "support/operators.h"
#include "support/perturb.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using test::largest_difference;
using test::message_of;
using testing::HasSubstr;

// The network of the digits configurations.
AdmOptions digits_network() {
  AdmOptions options;
  options.channels = 32;
  options.channel_mult = {1, 2};
  options.res_blocks = 2;
  options.attention_resolutions = {4};
  options.head_channels = 16;
  return options;
}

constexpr ImageSpec kDigits{.channels = 1, .size = 8, .classes = 10};

AdmOptions small_network() {
  AdmOptions options = test::small_unet();
  options.channel_mult = {1, 1};
  return options;
}

// With no weight at its initial 0.
std::shared_ptr<Network> perturbed(const NetworkOptions& options, const ImageSpec& image) {
  auto network = make_network(options, image, 5);
  test::perturb(*network, {.seed = 6});
  return network;
}

// What holds for every architecture.
class EveryUnet : public testing::TestWithParam<std::string> {
 protected:
  static NetworkOptions chosen(const UNetOptions& options) {
    return test::of_architecture(GetParam(), options);
  }
  static std::string label_weights() {
    if (GetParam() == "adm") return "label_emb.weight";
    return GetParam() == "edm2" ? "emb_label.weight" : "map_label.weight";
  }
};

INSTANTIATE_TEST_SUITE_P(All, EveryUnet, testing::ValuesIn(test::architectures()),
                         [](const auto& chosen) { return chosen.param; });

// A network that begins without a second time's say has a way to it.
void expect_learns_second_time(const Network& network, const Tensor& output) {
  output.square().sum().backward();
  const auto named = network.named_parameters();
  for (const std::string& name : network.ends_of_second_time()) {
    EXPECT_EQ(test::largest(named[name].detach()), 0) << name;
    EXPECT_GT(test::largest(named[name].grad()), 0) << name;
  }
}

// Where its part of the embedding is 0 it is the network of one time; where it is not, it tells where to go.
TEST_P(EveryUnet, ASecondTimeIsToldBesideTheFirst) {
  UNetOptions common = test::small_unet();
  const auto one = perturbed(chosen(common), kDigits);
  common.second_time = true;
  const auto two = perturbed(chosen(common), kDigits);
  auto weights = weights_of(*one);
  begin_second_time(weights, chosen(common), kDigits, 3);
  const Tensor x = normal({.seed = 1}, {0, 1, 2}, {1, 8, 8});
  const Tensor t = torch::tensor({0.9F, 0.5F, 0.1F});
  const Tensor labels = torch::tensor({3, 1, -1}, torch::kInt64);
  const auto to = [&](double share) {
    return two->forward(x, {.time = t, .labels = labels, .second_time = share * t});
  };
  EXPECT_GT(largest_difference(to(0), to(0.5)), 1e-3);
  copy_weights(weights, *two, "one time");
  EXPECT_TRUE(torch::equal(to(0.5), one->forward(x, {t, labels})));
  EXPECT_TRUE(torch::equal(to(0), to(1)));
  expect_learns_second_time(*two, to(0.5));
}

struct Input {
  Tensor x;
  Tensor time;
  Tensor labels;
};

Input digits_input(int64_t batch = 4) {
  return {normal({.seed = 1}, sample_range(0, batch), {1, 8, 8}), torch::linspace(-1500, 1000, batch),
          torch::arange(batch)};
}

// By hand. A 3×3 convolution i→o has 9io + o parameters, a norm 2c, a linear layer io + o, attention on 64
// channels 128 + 12,480 + 4,160 = 16,768; the embedding is 128 wide, so a residual block i→o has
// 2i + (9io + o) + (128 · 2o + 2o) + 2o + (9oo + o), and io + o more where i ≠ o:
//   32→32 26,880   32→64 74,240   64→64 90,624   128→64 135,872   96→64 115,328   96→32 48,544   64→32 38,240
TEST(Unet, TheDigitsNetworkHasItsParameters) {
  constexpr int64_t kEmbedding = (32 * 128 + 128) + (128 * 128 + 128) + 10 * 128;
  constexpr int64_t kAttention = 16'768;
  constexpr int64_t kDown = (9 * 32 + 32) + 3 * 26'880 + 74'240 + 90'624 + 2 * kAttention;
  constexpr int64_t kMiddle = 2 * 90'624 + kAttention;
  constexpr int64_t kUpSmall = 2 * 135'872 + 115'328 + 3 * kAttention + 90'624;
  constexpr int64_t kUpLarge = 48'544 + 2 * 38'240;
  constexpr int64_t kOut = 2 * 32 + (9 * 32 + 1);
  static_assert(kEmbedding + kDown + kMiddle + kUpSmall + kUpLarge + kOut == 1'152'769);
  EXPECT_EQ(parameter_count(*make_network(digits_network(), kDigits)), 1'152'769);
}

TEST_P(EveryUnet, InitialWeightsDependOnTheSeedOnly) {
  const auto weights = [](uint64_t seed) {
    return weights_of(*make_network(chosen(small_network()), kDigits, seed));
  };
  const auto first = weights(3);
  torch::manual_seed(99);
  torch::rand({7});
  for (const auto& [name, tensor] : weights(3)) EXPECT_TRUE(torch::equal(tensor, first.at(name))) << name;
  const std::string name = label_weights();
  EXPECT_FALSE(torch::equal(weights(4).at(name), first.at(name)));
}

TEST(Unet, ANewNetworkAnswersZero) {
  const auto [x, time, labels] = digits_input();
  const Tensor y = make_network(digits_network(), kDigits, 3)->forward(x, {time, labels});
  EXPECT_EQ(y.sizes(), x.sizes());
  EXPECT_EQ(test::largest(y), 0);
}

TEST_P(EveryUnet, ASampleDoesNotSeeTheOthers) {
  const auto network = perturbed(chosen(digits_network()), kDigits);
  const torch::NoGradGuard guard;
  const auto [x, time, labels] = digits_input();
  const Tensor batch = network->forward(x, {time, labels});
  for (int64_t i = 0; i < 4; ++i) {
    const Tensor alone = network->forward(x.narrow(0, i, 1), {time.narrow(0, i, 1), labels.narrow(0, i, 1)});
    EXPECT_LT(test::relative_difference(alone, batch.narrow(0, i, 1)), 1e-5) << i;
  }
}

TEST_P(EveryUnet, NothingIsCopiedToMeetASkipConnection) {
  if (GetParam() == "edm2") GTEST_SKIP() << "which weighs both and needs them in one image";
  for (const bool recomputed : {false, true}) {
    UNetOptions options = test::small_unet();
    options.activation_checkpointing = recomputed;
    const auto network = make_network(chosen(options), {.channels = 1, .size = 8}, 5);
    const Tensor x = normal({.seed = 1}, sample_range(0, 2), {1, 8, 8}).requires_grad_(true);
    const auto operators = test::operators_of([&] {
      network->forward(x, {torch::tensor({-300.0, 500.0})}).sum().backward();
    });
    EXPECT_THAT(operators, testing::Each(testing::Not(HasSubstr("CatBackward"))));
    EXPECT_THAT(operators, testing::Contains(HasSubstr("FusedGroupNorm")));
  }
}

TEST_P(EveryUnet, TimeAndClassMatter) {
  const auto network = perturbed(chosen(digits_network()), kDigits);
  const torch::NoGradGuard guard;
  const auto [x, time, labels] = digits_input();
  const Tensor y = network->forward(x, {time, labels});
  EXPECT_GT(largest_difference(network->forward(x, {time / 2, labels}), y), 1e-3);
  EXPECT_GT(largest_difference(network->forward(x, {time, labels + 1}), y), 1e-3);
}

// Without what the class adds: as a class whose own numbers are all 0.
TEST_P(EveryUnet, TheNullClassLeavesOutTheClass) {
  const auto network = perturbed(chosen(digits_network()), kDigits);
  const torch::NoGradGuard guard;
  const Input input = digits_input();
  const auto answer = [&](const Tensor& to) { return network->forward(input.x, {input.time, to}); };
  const Tensor of_class = answer(input.labels);
  const Tensor of_null = answer(torch::full_like(input.labels, kNullClass));
  const Tensor mixed = answer(torch::tensor({0, -1, 2, -1}));
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_LT(test::relative_difference(mixed[i], (i % 2 == 0 ? of_class : of_null)[i]), 1e-5) << i;
    EXPECT_GT(largest_difference(of_null[i], of_class[i]), 1e-3) << i;
  }
  auto weights = weights_of(*network);
  weights.at(label_weights()).zero_();
  EXPECT_TRUE(torch::equal(answer(input.labels), of_null));
}

TEST_P(EveryUnet, OnlyClassesOfTheExamplesLearnFromThem) {
  if (GetParam() == "edm2") GTEST_SKIP() << "whose classes share the norm of their weights";
  const auto network = perturbed(chosen(small_network()), kDigits);
  const auto [x, time, labels] = digits_input();
  network->forward(x, {time, torch::tensor({2, -1, 2, -1})}).square().sum().backward();
  const Tensor gradient = network->named_parameters()[label_weights()].grad();
  const Tensor of_class = gradient.abs().sum(GetParam() == "adm" ? 1 : 0);
  for (int64_t k = 0; k < 10; ++k) EXPECT_EQ(of_class[k].item<double>() > 0, k == 2) << k;
}

TEST_P(EveryUnet, DropoutFollowsItsKeyAndEvaluationHasNone) {
  UNetOptions options = small_network();
  options.dropout = 0.5;
  const auto network = perturbed(chosen(options), kDigits);
  const auto without = perturbed(chosen(small_network()), kDigits);
  const torch::NoGradGuard guard;
  const Input input = digits_input();
  const auto run = [&](const Tensor& keys) {
    return network->forward(input.x, {input.time, input.labels}, keys);
  };
  EXPECT_TRUE(torch::equal(run({}), without->forward(input.x, {input.time, input.labels})));
  EXPECT_TRUE(
      torch::equal(run(test::dropout_keys(1, input.x.size(0))), run(test::dropout_keys(1, input.x.size(0)))));
  EXPECT_GT(largest_difference(run(test::dropout_keys(1, input.x.size(0))),
                               run(test::dropout_keys(2, input.x.size(0)))),
            1e-3);
  EXPECT_GT(largest_difference(run(test::dropout_keys(1, input.x.size(0))), run({})), 1e-3);
}

TEST(Unet, EveryVariantKeepsTheShape) {
  const auto [x, time, labels] = digits_input(2);
  for (const bool resblock_updown : {true, false}) {
    for (const bool conv_resample : {true, false}) {
      AdmOptions options = small_network();
      options.resblock_updown = resblock_updown;
      options.conv_resample = conv_resample;
      options.scale_shift_norm = conv_resample;
      const auto network = perturbed(options, kDigits);
      EXPECT_EQ(network->forward(x, {time, labels}).sizes(), x.sizes());
    }
  }
}

TEST_P(EveryUnet, WrongInputsAreRefused) {
  const auto network = make_network(chosen(small_network()), kDigits, 1);
  const auto [x, time, labels] = digits_input();
  EXPECT_THROW(network->forward(x.expand({4, 3, 8, 8}), {time, labels}), c10::Error);
  EXPECT_THROW(network->forward(x.narrow(3, 0, 7), {time, labels}), c10::Error);
  EXPECT_THROW(network->forward(x, {time}), c10::Error);
  for (const int64_t no_class : {-2, 10}) {
    EXPECT_THROW(network->forward(x, {time, torch::full_like(labels, no_class)}), c10::Error);
  }
  const auto unconditional = make_network(chosen(small_network()), {.channels = 1, .size = 8}, 1);
  EXPECT_THROW(unconditional->forward(x, {time, labels}), c10::Error);
}

std::string mistake_of(const NetworkOptions& options, const ImageSpec& image = kDigits) {
  return message_of<InputError>([&] { make_network(options, image); });
}

TEST(Unet, OptionsThatDoNotFitAreMistakes) {
  AdmOptions odd = small_network();
  odd.channel_mult = {1, 1.5};
  EXPECT_THAT(mistake_of(odd), HasSubstr("channel_mult must give every level a multiple of 32 channels"));
  AdmOptions heads = small_network();
  heads.heads = 3;
  EXPECT_THAT(mistake_of(heads),
              HasSubstr("heads must divide the channels of every level (32 at level 0), got 3"));
  AdmOptions head_channels = small_network();
  head_channels.head_channels = 48;
  EXPECT_THAT(mistake_of(head_channels), HasSubstr("head_channels must divide the channels"));
  AdmOptions attention = small_network();
  attention.attention_resolutions = {16};
  EXPECT_THAT(mistake_of(attention),
              HasSubstr("attention_resolutions must be among the sides of the levels {8, 4}, got 16"));
  AdmOptions none = small_network();
  none.channel_mult = {};
  EXPECT_THAT(mistake_of(none), HasSubstr("channel_mult must name at least one level"));
  EXPECT_THAT(mistake_of(small_network(), {.channels = 1, .size = 7}),
              HasSubstr("2 levels, which halve a side of 7 pixels 1 times: it must divide by 2"));
  AdmOptions deep = small_network();
  for (const size_t levels : {64, 65, 66}) {
    deep.channel_mult = std::vector<double>(levels, 1);
    EXPECT_THAT(mistake_of(deep), HasSubstr("levels, which halve a side of 8 pixels")) << levels;
  }
}

TEST(Unet, AllMistakesAreReportedAtOnce) {
  AdmOptions options = small_network();
  options.heads = 3;
  options.attention_resolutions = {5, 6};
  try {
    make_network(options, kDigits);
    FAIL() << "nothing was thrown";
  } catch (const InputError& error) {
    EXPECT_EQ(error.mistakes().size(), 4U);  // heads on both levels, two resolutions
  }
}

}  // namespace
}  // namespace cm
