#include "cm/nn/inception_blocks.h"

#include <gtest/gtest.h>

#include <map>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;

// Random weights, the variances positive; keeps what it gave.
struct RandomWeights {
  std::map<std::string, Tensor> given;

  WeightLookup source() {
    return [this](const std::string& name, at::IntArrayRef shape) {
      const RandomKey key = {.seed = 3, .step = static_cast<uint32_t>(given.size())};
      const Tensor drawn = normal(key, sample_range(0, 1), shape.vec())[0];
      return given[name] = name.ends_with("running_var") ? drawn.abs() : drawn;
    };
  }
};

// Convolutions give 0, so that each branch is its shift: that of the normalisation at the end of the branch.
WeightLookup shifts(const std::map<std::string, double>& of_convolution) {
  return [=](const std::string& name, at::IntArrayRef shape) {
    if (name.ends_with("bn.running_var") || name.ends_with("bn.weight")) return torch::ones(shape);
    for (const auto& [convolution, shift] : of_convolution) {
      if (name == convolution + ".bn.bias") return torch::full(shape, shift);
    }
    return torch::zeros(shape);
  };
}

// Passes the first channel through `convolution` of a block of `in` channels, everything else is 0.
WeightLookup passing(const std::string& convolution) {
  return [=](const std::string& name, at::IntArrayRef shape) {
    if (name.ends_with("bn.running_var")) return torch::full(shape, 0.999);  // + ε = 1
    if (name.ends_with("bn.weight")) return torch::ones(shape);
    Tensor zero = torch::zeros(shape);
    if (name == convolution + ".conv.weight") zero[0][0].fill_(1);
    return zero;
  };
}

Tensor some_features(int64_t channels, int64_t height = 9, int64_t width = 7) {
  return normal({.seed = 8}, sample_range(0, 2), {channels, height, width});
}

// The values of the channels at one inner position, one a run of equal ones.
std::vector<std::pair<double, int64_t>> runs_of_channels(const Tensor& y) {
  std::vector<std::pair<double, int64_t>> runs;
  const Tensor column = y[0].select(2, 1).select(1, 1).to(torch::kFloat64).contiguous();
  for (int64_t c = 0; c < column.size(0); ++c) {
    const double value = column[c].item<double>();
    if (runs.empty() || runs.back().first != value) runs.emplace_back(value, 0);
    ++runs.back().second;
  }
  return runs;
}

using Runs = std::vector<std::pair<double, int64_t>>;

TEST(InceptionBlocks, ANormedConvolutionIsConvolutionNormalisationAndRelu) {
  RandomWeights weights;
  const NormedConvolution folded(weights.source(),
                                 {.in = 3, .out = 5, .kernel = {1, 7}, .padding = {0, 3}, .stride = 2});
  const Tensor x = some_features(3);
  const auto& w = weights.given;
  const std::vector<int64_t> padding = {0, 3};
  const Tensor convolved = torch::conv2d(x, w.at("conv.weight"), {}, 2, padding);
  const Tensor normed =
      torch::batch_norm(convolved, w.at("bn.weight"), w.at("bn.bias"), w.at("bn.running_mean"),
                        w.at("bn.running_var"), /*training=*/false, 0.1, 0.001, false);
  EXPECT_LT(test::relative_difference(folded(x), torch::relu(normed)), 1e-6);
  EXPECT_LT(largest_difference(folded.first_channels(2)(x), folded(x).narrow(1, 0, 2)), 1e-5);
}

TEST(InceptionBlocks, JoinTheirBranchesInTensorFlowsOrder) {
  const InceptionA a(
      shifts({{"branch1x1", 1}, {"branch5x5_2", 2}, {"branch3x3dbl_3", 3}, {"branch_pool", 4}}), 10, 32);
  EXPECT_EQ(runs_of_channels(a(some_features(10))), (Runs{{1, 64}, {2, 64}, {3, 96}, {4, 32}}));
  const InceptionC c(
      shifts({{"branch1x1", 1}, {"branch7x7_3", 2}, {"branch7x7dbl_5", 3}, {"branch_pool", 4}}), 10, 12);
  EXPECT_EQ(runs_of_channels(c(some_features(10))), (Runs{{1, 192}, {2, 192}, {3, 192}, {4, 192}}));
  const InceptionE e(shifts({{"branch1x1", 1},
                             {"branch3x3_2a", 2},
                             {"branch3x3_2b", 3},
                             {"branch3x3dbl_3a", 4},
                             {"branch3x3dbl_3b", 5},
                             {"branch_pool", 6}}),
                     10, InceptionPooling::mean);
  EXPECT_EQ(runs_of_channels(e(some_features(10))),
            (Runs{{1, 320}, {2, 384}, {3, 384}, {4, 384}, {5, 384}, {6, 192}}));
}

TEST(InceptionBlocks, HalvingBlocksPassTheirLargestInputsOn) {
  const Tensor x = some_features(6);
  const Tensor largest_inputs = torch::max_pool2d(x, 3, 2);
  const Tensor b = InceptionB(shifts({{"branch3x3", 1}, {"branch3x3dbl_3", 2}}), 6)(x);
  EXPECT_EQ(b.sizes(), torch::IntArrayRef({2, 486, 4, 3}));
  EXPECT_EQ(runs_of_channels(b.narrow(1, 0, 480)), (Runs{{1, 384}, {2, 96}}));
  EXPECT_TRUE(torch::equal(b.narrow(1, 480, 6), largest_inputs));
  const Tensor d = InceptionD(shifts({{"branch3x3_2", 1}, {"branch7x7x3_4", 2}}), 6)(x);
  EXPECT_EQ(d.sizes(), torch::IntArrayRef({2, 518, 4, 3}));
  EXPECT_EQ(runs_of_channels(d.narrow(1, 0, 512)), (Runs{{1, 320}, {2, 192}}));
  EXPECT_TRUE(torch::equal(d.narrow(1, 512, 6), largest_inputs));
}

// torchvision's mean counts the zeros around the image: a constant would not stay one at the border.
TEST(InceptionBlocks, MeansLeaveThePaddingOut) {
  const Tensor ones = torch::ones({1, 4, 5, 5});
  const auto pool_channel = [](const Tensor& y, int64_t last) { return y.select(1, y.size(1) - last); };
  const WeightLookup source = passing("branch_pool");
  EXPECT_LT(largest(pool_channel(InceptionA(source, 4, 32)(ones), 32) - 1), 1e-6);
  EXPECT_LT(largest(pool_channel(InceptionC(source, 4, 8)(ones), 192) - 1), 1e-6);
  EXPECT_LT(largest(pool_channel(InceptionE(source, 4, InceptionPooling::mean)(ones), 192) - 1), 1e-6);
}

TEST(InceptionBlocks, TheLastBlockTakesMaxima) {
  Tensor spike = torch::zeros({1, 4, 5, 5});
  spike[0][0][2][2] = 9;
  const auto around = [&](InceptionPooling pooling) {
    const Tensor y = InceptionE(passing("branch_pool"), 4, pooling)(spike);
    return y[0][y.size(1) - 192].slice(0, 1, 4).slice(1, 1, 4);
  };
  EXPECT_LT(largest(around(InceptionPooling::mean) - 1), 1e-5);
  EXPECT_LT(largest(around(InceptionPooling::max) - 9), 1e-5);
}

TEST(InceptionBlocks, AScopeGoesInFrontOfTheNames) {
  std::vector<std::string> asked;
  const WeightLookup source = [&](const std::string& name, at::IntArrayRef shape) {
    asked.push_back(name);
    return torch::ones(shape);
  };
  const NormedConvolution convolution(scoped(scoped(source, "Mixed_5b"), "branch1x1"), {.in = 2, .out = 2});
  EXPECT_EQ(asked.front(), "Mixed_5b.branch1x1.conv.weight");
  EXPECT_EQ(asked.size(), 5U);
}

}  // namespace
}  // namespace cm
