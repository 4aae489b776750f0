#include "cm/kernels/convolution.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/devices.h"
#include "support/dual_level.h"

namespace cm {
namespace {

struct Layer {
  Tensor x;
  Tensor weight;
  Tensor bias;
  Tensor kept = {};
};

Layer random_layer(int64_t batch, int64_t in, int64_t out, int64_t height, int64_t width) {
  const auto draw = [](uint64_t seed, int64_t count, const std::vector<int64_t>& shape) {
    return normal({.seed = seed}, sample_range(0, count), shape);
  };
  return {.x = draw(1, batch, {in, height, width}),
          .weight = draw(2, out, {in, 3, 3}) / std::sqrt(9.0 * static_cast<double>(in)),
          .bias = draw(3, 1, {out})[0],
          .kept = draw(5, batch, {out, height, width})};
}

Layer with_gradients(const Layer& layer, at::ScalarType type) {
  const auto leaf = [&](const Tensor& tensor) { return tensor.to(type).clone().requires_grad_(true); };
  return {leaf(layer.x), leaf(layer.weight), leaf(layer.bias), leaf(layer.kept)};
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

constexpr double kSomeFactor = 0.7;

Tensor plain(const Layer& layer) {
  return torch::conv2d(layer.x, layer.weight, layer.bias, 1, 1);
}

Tensor residual(const Layer& layer) {
  return residual_convolution_3x3(layer.kept, layer.x, layer.weight, layer.bias, kSomeFactor);
}

Tensor plain_residual(const Layer& layer) {
  return (layer.kept + plain(layer)) * kSomeFactor;
}

// Both ways, and the gradients of x, weight and bias; the layers', which are leaves, are left in them.
void expect_direct_form(const Layer& fp32, const Tensor& y, const Layer& fp64, const Tensor& exact) {
  EXPECT_LT(convolution_error(y, exact), 2e-6);
  const Tensor g = normal({.seed = 4}, sample_range(0, y.size(0)), y.sizes().slice(1).vec());
  y.backward(g);
  exact.backward(g.to(torch::kFloat64));
  EXPECT_LT(convolution_error(fp32.x.grad(), fp64.x.grad()), 2e-6);
  EXPECT_LT(convolution_error(fp32.weight.grad(), fp64.weight.grad()), 5e-6);
  EXPECT_LT(convolution_error(fp32.bias.grad(), fp64.bias.grad()), 5e-6);
}

TEST_P(Convolution, EqualsTheDirectFormInDoubleForwardAndBackward) {
  const Layer fp32 = with_gradients(layer(), torch::kFloat32);
  const Layer fp64 = with_gradients(layer(), torch::kFloat64);
  expect_direct_form(fp32, convolution_3x3(fp32.x, fp32.weight, fp32.bias), fp64, plain(fp64));
}

TEST_P(Convolution, AddedToSomethingKeptEqualsTheDirectFormInDouble) {
  const Layer fp32 = with_gradients(layer(), torch::kFloat32);
  const Layer fp64 = with_gradients(layer(), torch::kFloat64);
  expect_direct_form(fp32, residual(fp32), fp64, plain_residual(fp64));
  EXPECT_LT(convolution_error(fp32.kept.grad(), fp64.kept.grad()), 1e-6);
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
    const Tensor y = convolve(layer);
    const Tensor first =
        torch::autograd::grad({y.square().sum()}, {layer.x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.pow(3).sum()}, {layer.weight, layer.kept}, {}, false, false,
                                 /*allow_unused=*/true);
  };
  const auto convolved = [](const Layer& layer) {
    return convolution_3x3(layer.x, layer.weight, layer.bias);
  };
  const Layer fp32 = with_gradients(random_layer(2, 16, 32, 8, 8), torch::kFloat32);
  const Layer fp64 = with_gradients(random_layer(2, 16, 32, 8, 8), torch::kFloat64);
  EXPECT_LT(convolution_error(second(fp32, convolved)[0], second(fp64, plain)[0]), 2e-5);
  for (const size_t i : {0U, 1U}) {
    EXPECT_LT(convolution_error(second(fp32, residual)[i], second(fp64, plain_residual)[i]), 2e-5) << i;
  }
}

// What Winograd's form is not made for: the sum is then a pass of its own.
TEST(ResidualConvolution, OfOddSidesIsTheSame) {
  const Layer odd = random_layer(2, 32, 32, 8, 7);
  EXPECT_LT(convolution_error(residual(odd), plain_residual(with_gradients(odd, torch::kFloat64))), 2e-6);
}

// Either may be dual, or both.
TEST(ResidualConvolution, ATangentIsTheSumsWithoutBias) {
  const Layer layer = random_layer(2, 16, 32, 8, 8);
  const Layer exact = with_gradients(layer, torch::kFloat64);
  const Tensor of_x = normal({.seed = 9}, sample_range(0, 2), {16, 8, 8});
  const Tensor of_kept = normal({.seed = 8}, sample_range(0, 2), {32, 8, 8});
  const test::DualLevel level;
  for (const bool x : {false, true}) {
    for (const bool kept : {false, true}) {
      if (!x && !kept) continue;
      Layer moving = with_gradients(layer, torch::kFloat32);
      if (x) moving.x = dual(moving.x, of_x);
      if (kept) moving.kept = dual(moving.kept, of_kept);
      const Tensor y = residual(moving);
      Tensor expected = torch::zeros_like(exact.kept);
      if (x) expected = torch::conv2d(of_x.to(torch::kFloat64), exact.weight, {}, 1, 1);
      if (kept) expected = expected + of_kept;
      EXPECT_LT(convolution_error(tangent_of(y), expected * kSomeFactor), 2e-6) << x << kept;
      EXPECT_LT(convolution_error(value_of(y), plain_residual(exact)), 2e-6);
      EXPECT_FALSE(y._fw_grad(0).requires_grad());
      EXPECT_TRUE(value_of(y).requires_grad());
    }
  }
}

// There and back, as it lies itself, also where a gradient is differentiated.
TEST(WeightIn, IsACastWhoseGradientLiesAsTheWeightDoes) {
  const Tensor weight = random_layer(1, 6, 4, 1, 1).weight.clone().requires_grad_(true);
  EXPECT_TRUE(weight_in(torch::kFloat32, weight).is_same(weight));
  const Tensor cast = weight_in(torch::kBFloat16, weight);
  EXPECT_TRUE(torch::equal(cast, weight.to(torch::kBFloat16)));
  const Tensor dy =
      torch::randn(weight.sizes()).to(torch::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  const Tensor gradient = torch::autograd::grad({cast}, {weight}, {dy})[0];
  EXPECT_TRUE(torch::equal(gradient, dy.to(torch::kFloat32)));
  EXPECT_EQ(gradient.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(gradient.is_contiguous());
  const Tensor first =
      torch::autograd::grad({weight_in(torch::kFloat64, weight).pow(3).sum()}, {weight}, {}, true,
                            /*create_graph=*/true)[0];
  const Tensor second = torch::autograd::grad({first.sum()}, {weight})[0];
  EXPECT_LT(convolution_error(second, 6 * weight.detach().to(torch::kFloat64)), 1e-6);
}

// In the layout of images, half precision and TF32 being channels-last on a GPU.
TEST(WeightIn, LiesAsImagesOfItsTypeDo) {
  for (const auto& device : test::devices()) {
    const Tensor weight = random_layer(1, 6, 4, 1, 1).weight.to(device);
    for (const auto type : {torch::kFloat16, torch::kBFloat16}) {
      EXPECT_EQ(weight_in(type, weight).is_contiguous(at::MemoryFormat::ChannelsLast), device.is_cuda());
      EXPECT_EQ(in_convolution_layout(weight.to(type)).is_contiguous(at::MemoryFormat::ChannelsLast),
                device.is_cuda());
    }
    if (device.is_cpu()) continue;
    for (const bool tf32 : {true, false}) {
      at::globalContext().setAllowTF32CuDNN(tf32);
      EXPECT_EQ(in_convolution_layout(weight).is_contiguous(at::MemoryFormat::ChannelsLast), tf32);
    }
  }
}

// Channels last in fp64 as a product of matrices, as on a GPU; else by LibTorch's convolution.
template <class Check>
void for_each_1x1(const Check& check) {
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      SCOPED_TRACE(testing::Message() << type << format);
      Layer layer = with_gradients(random_layer(3, 20, 36, 5, 7), type);
      layer.x = layer.x.detach().contiguous(format).requires_grad_(true);
      layer.weight = layer.weight.detach().narrow(2, 1, 1).narrow(3, 1, 1).clone().requires_grad_(true);
      check(layer, format, type == torch::kFloat64 ? 1e-14 : 2e-6);
    }
  }
}

// y beside LibTorch's convolution of `x`, and the gradients of both.
void expect_convolved(const Tensor& y, const Tensor& x, const Layer& layer, const std::vector<Tensor>& leaves,
                      double rounding) {
  const Tensor expected = torch::conv2d(x, layer.weight, layer.bias);
  EXPECT_LT(convolution_error(y, expected), rounding);
  EXPECT_EQ(y.is_contiguous(at::MemoryFormat::ChannelsLast),
            expected.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto ours = torch::autograd::grad({y}, leaves, {layer.kept});
  const auto theirs = torch::autograd::grad({expected}, leaves, {layer.kept});
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_LT(convolution_error(ours[i], theirs[i]), rounding) << i;
}

TEST(Convolution1x1, IsLibTorchsForwardAndBackward) {
  for_each_1x1([](Layer layer, at::MemoryFormat, double rounding) {
    std::vector<Tensor> leaves = {layer.x, layer.weight, layer.bias};
    expect_convolved(convolution_1x1(layer.x, layer.weight, layer.bias), layer.x, layer, leaves, rounding);
    layer.bias = Tensor();
    leaves.pop_back();
    expect_convolved(convolution_1x1(layer.x, layer.weight, {}), layer.x, layer, leaves, rounding);
  });
}

// Of which either may have no tangent.
TEST(Convolution1x1, OfTwoImagesIsThatOfBothSideBySide) {
  for_each_1x1([](const Layer& layer, at::MemoryFormat format, double rounding) {
    const auto part = [&](int64_t from, int64_t count) {
      return layer.x.detach().narrow(1, from, count).contiguous(format).requires_grad_(true);
    };
    const Joined x(part(0, 13), part(13, 7));
    const Tensor y = convolution_1x1(x, layer.weight, layer.bias);
    expect_convolved(y, whole(x), layer, {x.first, x.second, layer.weight, layer.bias}, rounding);
    const test::DualLevel level;
    const auto expect_tangent = [&](double first_speed, double second_speed) {
      const auto dot = [](const Tensor& image, double speed) { return speed * image.detach().cos(); };
      const auto moving = [&](const Tensor& image, double speed) {
        return speed == 0 ? image : dual(image, dot(image, speed));
      };
      const Tensor moved = convolution_1x1({moving(x.first, first_speed), moving(x.second, second_speed)},
                                           layer.weight, layer.bias);
      const Tensor both = torch::cat({dot(x.first, first_speed), dot(x.second, second_speed)}, 1);
      EXPECT_LT(convolution_error(tangent_of(moved), torch::conv2d(both, layer.weight)), rounding);
      EXPECT_LT(convolution_error(value_of(moved), y), rounding);
    };
    expect_tangent(1, -2);
    expect_tangent(1, 0);
    expect_tangent(0, 3);
  });
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
