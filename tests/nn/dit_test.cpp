#include "cm/nn/dit.h"

#include <gmock/gmock.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/io/json.h"
#include "cm/kernels/normal.h"
#include "cm/nn/networks.h"
#include "src/nn/dit_blocks.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/perturb.h"
#include "support/small_dit.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;
using test::message_of;
using test::small_dit;
using testing::HasSubstr;

constexpr ImageSpec kDitImage{.channels = 3, .size = 8, .classes = 5};
const char* const kLabelTable = "y_embedder.embedding_table.weight";

// With no weight at its initial 0.
std::shared_ptr<Network> dit_network(const DitOptions& options) {
  auto network = make_network(options, kDitImage, 3);
  test::perturb(*network, {.seed = 6});
  return network;
}

struct DitInput {
  Tensor x = normal({.seed = 1}, sample_range(0, 4), {3, 8, 8});
  Conditioning told = {.time = torch::linspace(-900, 500, 4), .labels = torch::arange(4)};
};

Tensor dit_answer(Network& network, const DitInput& input = {}) {
  return no_grad([&] { return network.forward(input.x, input.told); });
}

TEST(Dit, WeightsHaveThePublishedNames) {
  DitOptions options = small_dit();
  options.second_time = true;
  std::vector<std::string> expected = {"x_embedder.proj",
                                       "t_embedder.mlp.0",
                                       "t_embedder.mlp.2",
                                       "h_embedder.mlp.0",
                                       "h_embedder.mlp.2",
                                       "final_layer.linear",
                                       "final_layer.adaLN_modulation.1"};
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    for (const auto* layer : {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1"})
      expected.push_back(block + layer);
  }
  std::vector<std::string> names = {kLabelTable};
  for (const auto& layer : expected) {
    names.push_back(layer + ".weight");
    names.push_back(layer + ".bias");
  }
  std::vector<std::string> found;
  for (const auto& [name, tensor] : weights_of(*make_network(options, kDitImage))) found.push_back(name);
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(names));
}

// Glorot's bound for what meets tokens, N(0, 0.02²) for what embeds, 0 for all that scales, shifts, gates and
// answers, and for biases.
TEST(Dit, InitialWeightsAreThePublished) {
  const auto weights = weights_of(*make_network(small_dit(), kDitImage, 3));
  for (const auto& [name, tensor] : weights) {
    SCOPED_TRACE(name);
    const double bound =
        tensor.dim() > 1 ? std::sqrt(6.0 / static_cast<double>(tensor[0].numel() + tensor.size(0))) : 0;
    if (name.find("adaLN") != std::string::npos || name.starts_with("final_layer.") || tensor.dim() == 1) {
      EXPECT_EQ(largest(tensor), 0);
    } else if (name.find("embedder.mlp") != std::string::npos || name == kLabelTable) {
      EXPECT_NEAR(tensor.std().item<double>(), 0.02, 0.003);
    } else {
      EXPECT_LE(largest(tensor), bound);
      EXPECT_NEAR(tensor.std().item<double>(), bound / std::sqrt(3), 0.1 * bound);
    }
  }
}

TEST(Dit, ANewNetworkAnswersZero) {
  EXPECT_EQ(largest(dit_answer(*make_network(small_dit(), kDitImage, 3))), 0);
}

TEST(Dit, ASampleDoesNotSeeTheOthers) {
  const auto network = dit_network(small_dit());
  const DitInput all;
  const Tensor batch = dit_answer(*network, all);
  for (int64_t i = 0; i < 4; ++i) {
    const DitInput one{.x = all.x.narrow(0, i, 1),
                       .told = {all.told.time.narrow(0, i, 1), all.told.labels.narrow(0, i, 1)}};
    EXPECT_LT(test::relative_difference(dit_answer(*network, one), batch.narrow(0, i, 1)), 1e-5) << i;
  }
}

TEST(Dit, TimesAndClassMatter) {
  DitOptions options = small_dit();
  options.second_time = true;
  const auto network = dit_network(options);
  DitInput input;
  input.told.second_time = input.told.time / 3;
  const Tensor y = dit_answer(*network, input);
  const auto changed = [&](Tensor Conditioning::*part, const Tensor& to) {
    DitInput other = input;
    other.told.*part = to;
    return largest_difference(dit_answer(*network, other), y);
  };
  EXPECT_GT(changed(&Conditioning::time, input.told.time / 2), 1e-3);
  EXPECT_GT(changed(&Conditioning::second_time, input.told.time / 2), 1e-3);
  EXPECT_GT(changed(&Conditioning::labels, input.told.labels + 1), 1e-3);
}

// By other features of the time, and of no other number than a little where time is 0.
TEST(Dit, AsInDiffusersItIsAnotherFunction) {
  DitOptions options = small_dit();
  const auto published = dit_network(options);
  options.diffusers = true;
  const auto theirs = dit_network(options);
  EXPECT_GT(largest_difference(dit_answer(*published), dit_answer(*theirs)), 0.01);
  DitInput at_zero;
  at_zero.told.time = torch::zeros({4});
  const double epsilon = largest_difference(dit_answer(*published, at_zero), dit_answer(*theirs, at_zero));
  EXPECT_GT(epsilon, 0);
  EXPECT_LT(epsilon, 1e-3);
}

TEST(Dit, BeginsAsTheNetworkOfOneTimeAndLearnsTheSecond) {
  const auto one = dit_network(small_dit());
  DitOptions options = small_dit();
  options.second_time = true;
  const auto two = dit_network(options);
  auto weights = weights_of(*one);
  begin_second_time(weights, options, kDitImage, 3);
  copy_weights(weights, *two, "one time");
  DitInput input;
  const Tensor expected = dit_answer(*one, input);
  input.told.second_time = input.told.time / 3;
  const Tensor y = two->forward(input.x, input.told);
  EXPECT_LT(test::relative_difference(y, expected), 1e-6);
  y.square().sum().backward();
  for (const std::string& name : two->ends_of_second_time())
    EXPECT_GT(test::largest(two->named_parameters()[name].grad()), 0) << name;
}

TEST(Dit, TheNullClassIsTheLastRow) {
  const auto network = dit_network(small_dit());
  DitInput input;
  input.told.labels = torch::tensor({0, -1, 2, -1});
  const Tensor mixed = dit_answer(*network, input);
  {
    const torch::NoGradGuard guard;
    auto rows = network->named_parameters()[kLabelTable];
    ASSERT_EQ(rows.size(0), kDitImage.classes + 1);
    rows[4].copy_(rows[5]);
    rows[5].zero_();
  }
  const Tensor of_zero = dit_answer(*network, input);
  input.told.labels = torch::tensor({0, 4, 2, 4});
  const Tensor of_class = dit_answer(*network, input);
  EXPECT_TRUE(torch::equal(of_class, mixed));
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(torch::equal(of_zero[i], mixed[i]), i % 2 == 0) << i;
}

TEST(Dit, OnlyTheRowsOfTheExamplesLearnFromThem) {
  const auto network = dit_network(small_dit());
  DitInput input;
  input.told.labels = torch::tensor({2, -1, 2, -1});
  network->forward(input.x, input.told).square().sum().backward();
  const Tensor learned = network->named_parameters()[kLabelTable].grad().abs().sum(1);
  for (int64_t k = 0; k < 6; ++k) EXPECT_EQ(learned[k].item<double>() > 0, k == 2 || k == 5) << k;
}

// A token's position is that of its patch, whatever the shape of the image.
TEST(Dit, PositionsAreThoseOfRowAndColumn) {
  const Tensor square = token_positions(4, 4, 16, torch::kFloat32).view({4, 4, 16});
  const Tensor wide = token_positions(2, 3, 16, torch::kFloat32).view({2, 3, 16});
  EXPECT_TRUE(torch::equal(wide, square.narrow(0, 0, 2).narrow(1, 0, 3)));
  EXPECT_FALSE(torch::equal(square, square.transpose(0, 1)));
  const DitInput input{.x = torch::ones({4, 3, 4, 8})};
  EXPECT_EQ(dit_answer(*dit_network(small_dit()), input).sizes(), input.x.sizes());
}

TEST(Dit, RecomputedBlocksAreTheSameNetwork) {
  const auto results = [](bool recomputed) {
    DitOptions options = small_dit();
    options.activation_checkpointing = recomputed;
    const auto network = dit_network(options);
    const DitInput input;
    const Tensor y = network->forward(input.x, input.told);
    y.square().sum().backward();
    std::vector<Tensor> found = {y.detach()};
    for (const auto& parameter : network->parameters()) found.push_back(parameter.grad());
    return found;
  };
  const auto plain = results(false);
  const auto recomputed = results(true);
  EXPECT_TRUE(torch::equal(recomputed[0], plain[0]));
  double scale = 0;
  for (size_t i = 1; i < plain.size(); ++i) scale = std::max(scale, largest(plain[i]));
  for (size_t i = 1; i < plain.size(); ++i)
    EXPECT_LT(largest_difference(recomputed[i], plain[i]), 1e-5 * scale) << i;
}

TEST(Dit, HoldsWhatMeetsTokens) {
  const auto network = dit_network(small_dit());
  network->compute_in(ComputeType::bf16);
  network->hold_in_compute_type();
  for (const auto& parameter : network->named_parameters()) {
    const std::string& name = parameter.key();
    const bool meets_tokens = name.starts_with("x_embedder") || name.find(".attn.") != std::string::npos ||
                              name.find(".fc") != std::string::npos;
    EXPECT_EQ(parameter.value().scalar_type(), meets_tokens ? torch::kBFloat16 : torch::kFloat32) << name;
  }
}

TEST(Dit, WrongInputsAreRefused) {
  const auto refuses = [](Network& network, const DitInput& input) {
    return !message_of<c10::Error>([&] { dit_answer(network, input); }).empty();
  };
  const auto network = make_network(small_dit(), kDitImage, 1);
  const DitInput good;
  EXPECT_TRUE(refuses(*network, {.x = good.x.narrow(1, 0, 1)}));
  EXPECT_TRUE(refuses(*network, {.x = good.x.narrow(3, 0, 7)}));
  EXPECT_TRUE(refuses(*network, {.told = {.time = good.told.time}}));
  for (const int64_t no_class : {-2, 5, 6}) {
    EXPECT_TRUE(refuses(*network, {.told = {.time = good.told.time, .labels = torch::full({4}, no_class)}}))
        << no_class;
  }
  DitInput two_times = good;
  two_times.told.second_time = good.told.time;
  EXPECT_TRUE(refuses(*network, two_times));
  DitOptions map = small_dit();
  map.second_time = true;
  const auto of_a_map = make_network(map, kDitImage, 1);
  EXPECT_THAT(message_of<c10::Error>([&] { dit_answer(*of_a_map, good); }),
              HasSubstr("this network takes two times"));
}

struct DitCase {
  DitOptions options;
  ImageSpec image;
};

std::vector<DitCase> dit_cases() {
  DitOptions published;  // S/2
  DitOptions extra_large;
  extra_large.width = 1152;
  extra_large.depth = 1;
  extra_large.heads = 16;
  extra_large.patch = 4;
  extra_large.learned_variance = true;
  DitOptions map = small_dit();
  map.heads = 1;  // weights do not tell
  map.second_time = true;
  map.mlp_ratio = 2.5;
  map.patch = 1;
  return {{published, {.channels = 4, .size = 32, .classes = 10}},
          {extra_large, {.channels = 4, .size = 16, .classes = 1000}},
          {map, {.channels = 1, .size = 8, .classes = 0}}};
}

TEST(Dit, IsToldFromItsWeights) {
  for (const auto& [options, image] : dit_cases()) {
    const NetworkOptions expected = options;
    SCOPED_TRACE(json_of(expected).dump());
    const auto weights = weights_of(*make_network(expected, image));
    const InferredNetwork inferred = infer_network(weights, image.size, "weights");
    EXPECT_EQ(json_of(inferred.network), json_of(expected));
    EXPECT_EQ(json_of(inferred.image), json_of(image));
  }
}

// So that what they lack can be named.
TEST(Dit, IncompleteWeightsAreItsToo) {
  for (const auto* part : {"blocks.1.attn.", "final_layer.adaLN", "t_embedder"}) {
    auto cut = weights_of(*make_network(small_dit(), kDitImage));
    std::erase_if(cut, [&](const auto& entry) { return entry.first.starts_with(part); });
    const InferredNetwork inferred = infer_network(cut, kDitImage.size, "weights");
    DitOptions expected = small_dit();
    expected.heads = 1;
    EXPECT_EQ(json_of(inferred.network), json_of(NetworkOptions(expected))) << part;
  }
  EXPECT_THAT(message_of<InputError>([] {
                infer_network({{"x_embedder.proj.weight", torch::ones({32, 3, 0, 0})}}, 8, "x");
              }),
              HasSubstr("weights of no network that is known here"));
}

TEST(Dit, OptionsThatDoNotFitAreMistakes) {
  const auto mistake = [](const auto& change) {
    DitOptions options = small_dit();
    change(options);
    return message_of<InputError>([&] { make_network(options, kDitImage); });
  };
  EXPECT_THAT(mistake([](auto& o) { o.width = 34; }), HasSubstr("width must be a multiple of 4"));
  EXPECT_THAT(mistake([](auto& o) { o.heads = 3; }), HasSubstr("heads must divide the width (32), got 3"));
  EXPECT_THAT(mistake([](auto& o) { o.mlp_ratio = 0.01; }),
              HasSubstr("mlp_ratio must leave a block's hidden layer a number, got 0.01 of a width of 32"));
  EXPECT_THAT(mistake([](auto& o) { o.patch = 3; }),
              HasSubstr("patch must divide the side of the images (8 pixels), got 3"));
}

}  // namespace
}  // namespace cm
