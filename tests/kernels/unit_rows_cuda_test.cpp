// The kernels for GPUs that scale rows, run on the host: what they compute, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "cm/kernels/unit_rows.h"
#include "kernels/guarded_array.h"
#include "src/kernels/unit_rows_kernels.cuh"
#include "support/closeness.h"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;
using test::Guarded;
using test::relative_difference;
using unit_rows_cuda::Number;

constexpr RowScale kGpuRowScale{.length = 3, .epsilon = 0.05};

struct GpuType {
  Number number;
  torch::Dtype type;
  double rounding;
};

constexpr std::array kGpuTypes = {GpuType{Number::fp32, torch::kFloat32, 2e-6},
                                  GpuType{Number::fp16, torch::kFloat16, 1e-3},
                                  GpuType{Number::bf16, torch::kBFloat16, 8e-3}};

// Both passes by the kernels, of x and dy [rows, width], with a gain or without.
struct RowsOnHost {
  RowsOnHost(const GpuType& type, const Tensor& of_x, const Tensor& of_dy, bool has_gain, Order order)
      : x(of_x.flatten(), true),
        dy(of_dy.flatten(), true),
        gain(torch::full({1}, -0.7F), true),
        y(of_x.numel(), type.type),
        dx(of_x.numel(), type.type),
        dgain(of_x.size(0), torch::kFloat32) {
    const unit_rows_cuda::Rows rows{.type = type.number,
                                    .x = x.data(),
                                    .count = of_x.size(0),
                                    .width = of_x.size(1),
                                    .gain = has_gain ? gain.floats() : nullptr,
                                    .length = static_cast<float>(kGpuRowScale.length),
                                    .epsilon = static_cast<float>(kGpuRowScale.epsilon)};
    const HostLaunch<unit_rows_cuda::kThreads> launch{order};
    unit_rows_cuda::launch_forward(launch, rows, y.data());
    unit_rows_cuda::launch_backward(launch, rows, dy.data(), dx.data(), has_gain ? dgain.floats() : nullptr);
    for (const Guarded* array : {&x, &dy, &gain, &y, &dx, &dgain}) {
      EXPECT_TRUE(array->margins_are_whole());
    }
  }

  Guarded x;
  Guarded dy;
  Guarded gain;
  Guarded y;
  Guarded dx;
  Guarded dgain;
};

void expect_operators(const GpuType& type, int64_t count, int64_t width, bool has_gain) {
  const Tensor x = normal({.seed = 1}, {0}, {count, width})[0].to(type.type);
  const Tensor dy = normal({.seed = 2}, {0}, {count, width})[0].to(type.type);
  const RowsOnHost ours(type, x, dy, has_gain, Order::upwards);
  const Tensor exact = x.to(torch::kFloat64).requires_grad_(true);
  const Tensor gain =
      torch::full({}, has_gain ? static_cast<double>(-0.7F) : 1.0, torch::kFloat64).requires_grad_(true);
  const Tensor y = plain_unit_rows(exact, kGpuRowScale, gain);
  const auto gradients = torch::autograd::grad({y}, {exact, gain}, {dy.to(torch::kFloat64)});
  EXPECT_LT(relative_difference(ours.y.inside(), y.flatten()), type.rounding);
  EXPECT_LT(relative_difference(ours.dx.inside(), gradients[0].flatten()), type.rounding);
  if (has_gain) {
    const double total = ours.dgain.inside().sum().item<double>();
    EXPECT_NEAR(total, gradients[1].item<double>(), 1e-5 * static_cast<double>(count));
  }
  const RowsOnHost downwards(type, x, dy, has_gain, Order::downwards);
  EXPECT_TRUE(torch::equal(downwards.y.inside(), ours.y.inside()));
  EXPECT_TRUE(torch::equal(downwards.dx.inside(), ours.dx.inside()));
}

// Rows that fill no block and more than one, of fewer numbers than a warp has lanes, as many, and more.
TEST(UnitRowsForGpus, AreTheOperatorsInDouble) {
  for (const GpuType& type : kGpuTypes) {
    for (const bool has_gain : {false, true}) {
      for (const auto& [count, width] :
           std::vector<std::pair<int64_t, int64_t>>{{3, 1}, {21, 7}, {8, 32}, {5, 147}, {1, 3000}}) {
        SCOPED_TRACE(testing::Message()
                     << count << " × " << width << ", " << type.type << (has_gain ? ", a gain" : ""));
        expect_operators(type, count, width, has_gain);
      }
    }
  }
}

TEST(UnitRowsForGpus, ARowOfZerosHasAGradient) {
  const Tensor zeros = torch::zeros({2, 40});
  const RowsOnHost ours(kGpuTypes[0], zeros, torch::ones({2, 40}), false, Order::upwards);
  EXPECT_EQ(test::largest(ours.y.inside()), 0);
  EXPECT_LT(relative_difference(ours.dx.inside(), torch::full({80}, 3 / 0.05)), 1e-6);
}

}  // namespace
}  // namespace cm
