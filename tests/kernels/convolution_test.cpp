#include "cm/kernels/convolution.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/dual_level.h"

namespace cm {
namespace {

struct Layer {
  Tensor x;
  Tensor weight;
  Tensor bias;
};

Layer random_layer(int64_t batch, int64_t in, int64_t out, int64_t height, int64_t width) {
  const auto draw = [](uint64_t seed, int64_t count, const std::vector<int64_t>& shape) {
    return normal({.seed = seed}, sample_range(0, count), shape);
  };
  return {.x = draw(1, batch, {in, height, width}),
          .weight = draw(2, out, {in, 3, 3}) / std::sqrt(9.0 * static_cast<double>(in)),
          .bias = draw(3, 1, {out})[0]};
}

Layer with_gradients(const Layer& layer, at::ScalarType type) {
  const auto leaf = [&](const Tensor& tensor) { return tensor.to(type).clone().requires_grad_(true); };
  return {leaf(layer.x), leaf(layer.weight), leaf(layer.bias)};
}

// The largest difference, relative to the largest number.
double convolution_error(const Tensor& got, const Tensor& exact) {
  return ((got.to(torch::kFloat64) - exact).abs().max() / exact.abs().max()).item<double>();
}

struct Size {
  int64_t batch;
  int64_t in;
  int64_t out;
  int64_t height;
  int64_t width;
};

class Convolution : public testing::TestWithParam<Size> {
 protected:
  static Layer layer() {
    const Size& s = GetParam();
    return random_layer(s.batch, s.in, s.out, s.height, s.width);
  }
};

TEST_P(Convolution, EqualsTheDirectFormInDoubleForwardAndBackward) {
  const Layer fp32 = with_gradients(layer(), torch::kFloat32);
  const Layer fp64 = with_gradients(layer(), torch::kFloat64);
  const Tensor y = convolution_3x3(fp32.x, fp32.weight, fp32.bias);
  const Tensor exact = torch::conv2d(fp64.x, fp64.weight, fp64.bias, 1, 1);
  EXPECT_LT(convolution_error(y, exact), 2e-6);
  const Tensor g = normal({.seed = 4}, sample_range(0, y.size(0)), y.sizes().slice(1).vec());
  y.backward(g);
  exact.backward(g.to(torch::kFloat64));
  EXPECT_LT(convolution_error(fp32.x.grad(), fp64.x.grad()), 2e-6);
  EXPECT_LT(convolution_error(fp32.weight.grad(), fp64.weight.grad()), 5e-6);
  EXPECT_LT(convolution_error(fp32.bias.grad(), fp64.bias.grad()), 5e-6);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Convolution,
                         testing::Values(Size{64, 32, 32, 8, 8}, Size{64, 64, 32, 4, 4},
                                         Size{3, 48, 80, 6, 10}, Size{2, 16, 16, 16, 16},
                                         Size{16, 64, 128, 16, 16}, Size{1, 192, 96, 32, 32},
                                         Size{20, 32, 16, 2, 2}, Size{1, 384, 192, 8, 8}));

TEST(WinogradConvolution, ServesWhatItIsMadeForAlone) {
  const auto served = [](const Layer& layer) {
    return !obstacle_to_winograd(layer.x, layer.weight, layer.bias);
  };
  EXPECT_TRUE(served(random_layer(2, 32, 32, 8, 8)));
  EXPECT_FALSE(served(random_layer(2, 3, 32, 8, 8)));
  EXPECT_FALSE(served(random_layer(2, 32, 32, 8, 7)));
  EXPECT_FALSE(served(with_gradients(random_layer(2, 32, 32, 8, 8), torch::kFloat64)));
  const Layer odd = random_layer(2, 32, 32, 8, 7);
  EXPECT_TRUE(torch::equal(convolution_3x3(odd.x, odd.weight, odd.bias),
                           torch::conv2d(odd.x, odd.weight, odd.bias, 1, 1)));
}

TEST(WinogradConvolution, IsTheSameForAnyBatchNumberOfThreadsAndLayout) {
  const Layer layer = random_layer(5, 32, 48, 12, 8);
  const Tensor whole = convolution_3x3(layer.x, layer.weight, layer.bias);
  EXPECT_TRUE(whole.is_contiguous(at::MemoryFormat::ChannelsLast));
  const Tensor last = layer.x.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(torch::equal(convolution_3x3(last, layer.weight, layer.bias), whole));
  EXPECT_TRUE(torch::equal(convolution_3x3(layer.x.narrow(0, 3, 2), layer.weight, layer.bias),
                           whole.narrow(0, 3, 2)));
  const int threads = at::get_num_threads();
  at::set_num_threads(threads == 1 ? 2 : 1);
  EXPECT_TRUE(torch::equal(convolution_3x3(layer.x, layer.weight, layer.bias), whole));
  at::set_num_threads(threads);
}

TEST(WinogradConvolution, CanBeDifferentiatedTwice) {
  const auto second = [](const Layer& layer, const auto& convolve) {
    const Tensor y = convolve(layer.x, layer.weight, layer.bias);
    const Tensor first =
        torch::autograd::grad({y.square().sum()}, {layer.x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.pow(3).sum()}, {layer.weight})[0];
  };
  const Layer layer = random_layer(2, 16, 32, 8, 8);
  const Tensor exact = second(with_gradients(layer, torch::kFloat64),
                              [](const Tensor& x, const Tensor& weight, const Tensor& bias) {
                                return torch::conv2d(x, weight, bias, 1, 1);
                              });
  EXPECT_LT(convolution_error(second(with_gradients(layer, torch::kFloat32), convolution_3x3), exact), 2e-5);
}

// Of a dual, both by the kernel; a weight that has a tangent it leaves to LibTorch.
TEST(WinogradConvolution, ATangentIsAConvolutionWithoutBias) {
  const Layer layer = with_gradients(random_layer(2, 16, 32, 8, 8), torch::kFloat32);
  const Tensor direction = normal({.seed = 9}, sample_range(0, 2), {16, 8, 8});
  const test::DualLevel level;
  const Tensor y = convolution_3x3(dual(layer.x, direction), layer.weight, layer.bias);
  EXPECT_TRUE(torch::equal(value_of(y), convolution_3x3(layer.x, layer.weight, layer.bias)));
  EXPECT_TRUE(torch::equal(tangent_of(y), convolution_3x3(direction, layer.weight, {})));
  EXPECT_FALSE(y._fw_grad(0).requires_grad());
  EXPECT_TRUE(value_of(y).requires_grad());

  const Tensor turned = normal({.seed = 10}, sample_range(0, 32), {16, 3, 3});
  const Tensor of_weight = convolution_3x3(layer.x, dual(layer.weight.detach(), turned), layer.bias);
  EXPECT_LT(convolution_error(tangent_of(of_weight), torch::conv2d(layer.x.to(torch::kFloat64),
                                                                   turned.to(torch::kFloat64), {}, 1, 1)),
            2e-6);
}

}  // namespace
}  // namespace cm
