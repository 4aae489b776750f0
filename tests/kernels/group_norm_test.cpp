#include "cm/kernels/group_norm.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include <limits>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "kernels/group_norm_cases.h"
#include "src/kernels/cuda_call.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/dual_level.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::Added;
using test::Case;
using test::error;
using test::kFormats;
using test::Shape;
using test::some_case;
using testing::HasSubstr;

// One channel a group and eight, channels that do and do not fill vectors, one position and an odd number,
// more than one unit of work an image.
constexpr std::array kShapes = {Shape{2, 32, 32, 8, 8},   Shape{1, 256, 32, 7, 5},  Shape{3, 64, 8, 1, 1},
                                Shape{3, 12, 3, 7, 5},    Shape{2, 1, 1, 16, 16},   Shape{1, 20, 5, 1, 3},
                                Shape{2, 96, 32, 33, 32}, Shape{1, 64, 32, 40, 40}, Shape{2, 40, 8, 2, 2}};

constexpr std::array kAdded = {Added::nothing, Added::to_all, Added::to_each};

template <class Check>
void for_each_case(const Check& check) {
  int number = 0;
  for (const Shape& shape : kShapes) {
    for (const auto format : kFormats) {
      for (const bool conditioned : {false, true}) {
        for (const auto activation : {Activation::none, Activation::silu}) {
          const auto added = kAdded[static_cast<size_t>(number++) % kAdded.size()];
          SCOPED_TRACE(testing::Message() << "x [" << shape.batch << ", " << shape.channels << ", "
                                          << shape.height << ", " << shape.width << "], " << shape.groups
                                          << " groups, " << format << (conditioned ? ", conditioned" : "")
                                          << (activation == Activation::silu ? ", SiLU" : "") << ", added "
                                          << static_cast<int>(added));
          check(some_case(shape, format, conditioned, activation, added));
        }
      }
    }
  }
}

Tensor fused(const Case& it) {
  return group_norm(it.input(), it.norm, it.condition, it.activation);
}

Tensor plain(const Case& it) {
  return plain_group_norm(it.input(), it.norm, it.condition, it.activation);
}

// Where the kernels are and of which images, and what rounding an image to that type costs.
struct Place {
  torch::Device device;
  torch::Dtype images;
  double rounding;
};

std::vector<Place> places() {
  std::vector<Place> all;
  for (const auto& device : test::devices()) {
    all.push_back({device, torch::kFloat32, 1e-6});
    if (device.is_cpu()) continue;
    all.push_back({device, torch::kFloat16, 5e-4});
    all.push_back({device, torch::kBFloat16, 4e-3});
  }
  return all;
}

TEST(GroupNormKernel, AgreesWithThePlainPathInDouble) {
  for (const Place& place : places()) {
    for_each_case([&](const Case& on_cpu) {
      const Case it = on_cpu.on(place.device, place.images);
      const Tensor y = fused(it);
      EXPECT_LT(error(y, plain(it.as(torch::kFloat64))), place.rounding) << place.device << place.images;
      EXPECT_EQ(y.scalar_type(), place.images);
      EXPECT_EQ(y.strides(), it.x.strides());
    });
  }
}

void expect_plain_gradients(const Case& it, const Place& place) {
  const Case single = it.leaves();
  const Case exact = it.as(torch::kFloat64);
  const Tensor y = fused(single);
  if (place.device.is_cpu() || cuda::has_kernels_for(place.device)) {
    ASSERT_THAT(y.grad_fn()->name(), HasSubstr("FusedGroupNorm"));
  }
  const auto ours = torch::autograd::grad({y}, single.inputs(), {single.dy});
  const auto theirs = torch::autograd::grad({plain(exact)}, exact.inputs(), {exact.dy});
  EXPECT_LT(error(ours[0], theirs[0]), 2 * place.rounding) << place.device << place.images;
  const double of_sums = place.device.is_cpu() ? 2e-6 : 1e-5;
  for (size_t i = 1; i < ours.size(); ++i) EXPECT_LT(error(ours[i], theirs[i]), of_sums) << "input " << i;
  EXPECT_EQ(ours[0].strides(), it.x.strides());
  EXPECT_EQ(ours[1].scalar_type(), torch::kFloat32);
}

TEST(GroupNormKernel, ItsGradientsAgreeWithThePlainPathsInDouble) {
  for (const Place& place : places()) {
    for_each_case(
        [&](const Case& on_cpu) { expect_plain_gradients(on_cpu.on(place.device, place.images), place); });
  }
}

// Two images: within a group and within a vector, between groups, one channel beside the others.
template <class Check>
void for_each_seam(const Check& check) {
  for (const Shape& shape : {Shape{2, 48, 4, 7, 5}, Shape{1, 96, 32, 33, 32}, Shape{3, 64, 8, 1, 1}}) {
    for (const auto format : kFormats) {
      const Case it = some_case(shape, format, true, Activation::silu, Added::to_each);
      for (const int64_t seam :
           {shape.channels / 2, shape.channels / 2 + 5, int64_t{1}, shape.channels - 1}) {
        SCOPED_TRACE(testing::Message() << shape.channels << " channels, " << format << ", seam " << seam);
        check(it, it.cut(seam));
      }
    }
  }
}

TEST(GroupNormKernel, TwoImagesAreOneOfTheirChannels) {
  for (const Place& place : places()) {
    for_each_seam([&](const Case& whole_on_cpu, const Case& cut_on_cpu) {
      const Case whole = whole_on_cpu.on(place.device, place.images);
      const Case cut = cut_on_cpu.on(place.device, place.images);
      EXPECT_LT(error(fused(cut), fused(whole)), place.rounding);
      const bool of_one_channel = cut.x.size(1) == 1;  // which lies in both layouts
      EXPECT_TRUE(of_one_channel || fused(cut).is_contiguous(whole.x.suggest_memory_format()));
      const auto gradients = [](const Case& any) {
        const Case it = any.leaves();
        const Tensor y = fused(it);
        EXPECT_THAT(y.grad_fn()->name(), HasSubstr("FusedGroupNorm"));
        return torch::autograd::grad({y}, it.inputs(), {it.dy});
      };
      const auto of_cut = gradients(cut);
      const auto of_whole = gradients(whole);
      EXPECT_LT(error(torch::cat({of_cut[0], of_cut[5]}, 1), of_whole[0]), 2 * place.rounding);
      EXPECT_TRUE(of_one_channel || of_cut[5].strides() == cut.more.strides());
      for (size_t i = 1; i < of_whole.size(); ++i) {
        EXPECT_LT(error(of_cut[i], of_whole[i]), 1e-5) << "input " << i;
      }
    });
  }
}

// As in a network, where what is joined to a skip connection was made of it.
TEST(GroupNormKernel, ASecondBackwardPassTellsTwoImagesApartOfWhichOneIsMadeOfTheOther) {
  const auto second = [](torch::Dtype type) {
    const Case it = some_case({2, 32, 4, 6, 6}, kFormats[1], true, Activation::silu).as(type);
    const Tensor y = group_norm(
        Joined(it.x.sin(), it.x),
        {4, 1e-5, torch::ones({64}, it.x.options()), torch::zeros({64}, it.x.options())}, {}, it.activation);
    const Tensor dy = torch::cat({it.dy, it.dy.cos()}, 1);
    const auto first = torch::autograd::grad({y}, {it.x}, {dy}, /*retain_graph=*/true, /*create_graph=*/true);
    return torch::cat({first[0].detach(), torch::autograd::grad({first[0].pow(3).sum()}, {it.x})[0]});
  };
  EXPECT_LT(error(second(torch::kFloat32), second(torch::kFloat64)), 1e-4);
}

TEST(GroupNormKernel, TwoImagesHaveTheirTangentsAndSecondGradients) {
  const Case whole =
      some_case({2, 48, 4, 6, 6}, kFormats[1], true, Activation::silu, Added::to_each).as(torch::kFloat32);
  const Case cut = whole.cut(29).leaves();
  const auto second = [](const Case& it) {
    const auto first = torch::autograd::grad({fused(it)}, {it.norm.weight}, {it.dy}, /*retain_graph=*/true,
                                             /*create_graph=*/true);
    return torch::autograd::grad({first[0].pow(3).sum()}, {it.x, it.norm.bias});
  };
  EXPECT_LT(error(second(cut)[0], second(whole)[0].narrow(1, 0, 29)), 1e-3);
  const test::DualLevel level;
  const auto moved = [](const Case& any, bool second_too) {
    Case it = any;
    it.x = dual(it.x.detach(), it.x.detach().cos());
    if (second_too) it.more = dual(it.more.detach(), it.more.detach().cos());
    return it;
  };
  EXPECT_LT(error(tangent_of(fused(moved(cut, true))), tangent_of(fused(moved(whole, false)))), 2e-6);
  Case first_alone = whole;
  const Tensor dot = torch::cat({cut.x.detach().cos(), torch::zeros_like(cut.more)}, 1);
  first_alone.x = dual(whole.x.detach(), dot);
  EXPECT_LT(error(tangent_of(fused(moved(cut, false))), tangent_of(fused(first_alone))), 2e-6);
}

// Where x is a thousand times its deviation, 1e-7 · 1000 of it is all that fp32 has.
TEST(GroupNormKernel, ALargeMeanCostsNoMoreThanRounding) {
  for (const auto& device : test::devices()) {
    for (const auto format : kFormats) {
      Case it = some_case({2, 64, 8, 33, 32}, format, false, Activation::none).on(device);
      it.x = it.x + 1000;
      EXPECT_LT(error(fused(it), plain(it.as(torch::kFloat64))), 1e-4) << device;
    }
  }
}

TEST(GroupNormKernel, SiluIsRightFarFromZero) {
  for (const auto& device : test::devices()) {
    Case it = some_case({1, 1, 1, 1, 1}, torch::MemoryFormat::Contiguous, false, Activation::silu).on(device);
    for (const float h : {-1000.0F, -90.0F, -87.5F, -20.0F, -1.0F, -1e-6F, 0.0F, 20.0F, 90.0F, 1000.0F}) {
      it.norm.bias = torch::full({1}, h, device);  // all that is left of one number
      const double expected = h / (1 + std::exp(-static_cast<double>(h)));
      EXPECT_NEAR(fused(it).item<double>(), expected, 2e-7 * std::abs(expected) + 1e-34) << h << device;
    }
  }
}

TEST(GroupNormKernel, WhatIsNotFiniteStaysSo) {
  for (const auto& device : test::devices()) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const auto format : kFormats) {
        const Case it = some_case({2, 32, 8, 4, 4}, format, false, Activation::silu).on(device);
        it.x[1][5][2][3] = bad;
        const Tensor y = fused(it);
        EXPECT_TRUE(y[1].narrow(0, 4, 4).isfinite().logical_not().all().item<bool>());
        EXPECT_TRUE(y[0].isfinite().all().item<bool>());
      }
    }
  }
}

TEST(GroupNormKernel, TheNumberOfThreadsChangesNothing) {
  const int threads = at::get_num_threads();
  for (const auto format : kFormats) {
    const Case it =
        some_case({3, 96, 32, 33, 32}, format, true, Activation::silu, Added::to_each).as(torch::kFloat32);
    const auto results = [&](int count) {
      at::set_num_threads(count);
      const Tensor y = fused(it);
      auto all = torch::autograd::grad({y}, it.inputs(), {it.dy});
      all.push_back(y);
      return all;
    };
    const auto [one, three] = std::pair(results(1), results(3));
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], three[i])) << i;
  }
  at::set_num_threads(threads);
}

TEST(GroupNormKernel, AnyStridesAreTaken) {
  for (const auto& device : test::devices()) {
    Case it = some_case({2, 64, 8, 6, 6}, torch::MemoryFormat::Contiguous, true, Activation::silu).on(device);
    const Tensor wide = normal({.seed = 9}, sample_range(0, 2), {64, 6, 12}).to(device);
    it.x = wide.slice(3, 0, 12, 2);
    it.condition = normal({.seed = 8}, sample_range(0, 2), {256}).to(device).slice(1, 0, 256, 2);
    EXPECT_LT(error(fused(it), plain(it.as(torch::kFloat64))), 1e-6) << device;
    it.x = wide.transpose(2, 3).requires_grad_(true);
    const Tensor dy = torch::ones({}, device).expand(it.x.sizes());
    EXPECT_LT(error(torch::autograd::grad({fused(it)}, {it.x}, {dy})[0],
                    torch::autograd::grad({plain(it)}, {it.x}, {dy})[0]),
              2e-6)
        << device;
  }
}

// A mean that the bias makes large costs what a large mean of the image costs.
TEST(GroupNormKernel, ALargeBiasCostsNoMoreThanRounding) {
  for (const auto& device : test::devices()) {
    for (const auto format : kFormats) {
      Case it = some_case({2, 64, 8, 33, 32}, format, false, Activation::none, Added::to_each).on(device);
      it.added = it.added + 1000;
      EXPECT_LT(error(fused(it), plain(it.as(torch::kFloat64))), 1e-4) << device;
    }
  }
}

// A view whose numbers start beside a multiple of a vector's bytes.
TEST(GroupNormKernel, AViewIsTakenToo) {
  for (const auto& device : test::devices()) {
    Case it = some_case({2, 64, 8, 6, 6}, torch::MemoryFormat::Contiguous, true, Activation::silu).on(device);
    const Tensor longer = torch::cat({torch::zeros({1}, device), it.x.flatten()});
    it.x = longer.narrow(0, 1, it.x.numel()).view(it.x.sizes());
    EXPECT_LT(error(fused(it), plain(it.as(torch::kFloat64))), 1e-6) << device;
  }
}

TEST(GroupNormKernel, SequencesAreTakenToo) {
  for (const auto& device : test::devices()) {
    Case it = some_case({2, 64, 8, 6, 6}, torch::MemoryFormat::Contiguous, true, Activation::silu).on(device);
    it.x = it.x.flatten(2);
    EXPECT_LT(error(fused(it), plain(it.as(torch::kFloat64))), 1e-6) << device;
    it.x = it.x.select(2, 0);
    EXPECT_LT(error(fused(it), plain(it.as(torch::kFloat64))), 1e-6) << device;
  }
}

TEST(GroupNormKernel, OnlyWantedGradientsAreGiven) {
  Case it = some_case({2, 64, 8, 6, 6}, torch::MemoryFormat::ChannelsLast, true, Activation::silu);
  it.norm.bias.requires_grad_(true);
  fused(it).sum().backward();
  EXPECT_TRUE(it.norm.bias.grad().defined());
  EXPECT_FALSE(it.x.grad().defined());
}

// The gradient of a function of the gradients.
TEST(GroupNormKernel, ASecondBackwardPassIsThePlainPaths) {
  for_each_case([](const Case& it) {
    const auto second = [&](const Case& leaves, const auto& compute) {
      const auto first = torch::autograd::grad({compute(leaves)}, leaves.inputs(), {leaves.dy},
                                               /*retain_graph=*/true, /*create_graph=*/true);
      Tensor sum = torch::zeros({}, leaves.x.options());
      for (const Tensor& gradient : first) sum = sum + gradient.pow(3).sum();
      return torch::autograd::grad({sum}, leaves.inputs(), {}, /*retain_graph=*/false,
                                   /*create_graph=*/false, /*allow_unused=*/true);
    };
    const auto ours = second(it.as(torch::kFloat32), fused);
    const auto theirs = second(it.as(torch::kFloat64), plain);
    for (size_t i = 0; i < ours.size(); ++i) {
      ASSERT_EQ(ours[i].defined(), theirs[i].defined());
      if (!ours[i].defined()) continue;
      // Of what is added it is a sum of those of x, which cancel where a group is one channel.
      const bool sums = i == (it.condition.defined() ? 4 : 3);
      const double scale =
          sums ? std::max(1.0, test::largest(theirs[0])) / std::max(1.0, test::largest(theirs[i])) : 1.0;
      EXPECT_LT(error(ours[i], theirs[i]), 1e-3 * scale) << "input " << i;
    }
  });
}

// Which inputs are dual.
struct Moving {
  bool x;
  bool condition;
  bool added = false;
};

// The case's own tangents where it moves, in the types of its values.
Case moving(Case it, const Moving& which) {
  if (which.x) it.x = dual(it.x.detach(), it.dy);
  const auto turned = [](const Tensor& t) { return dual(t.detach(), t.detach().cos()); };
  if (which.condition) it.condition = turned(it.condition);
  if (which.added) it.added = turned(it.added);
  return it;
}

void expect_plain_tangent(const Case& it, const Moving& which, const Place& place) {
  const Case single = it.leaves();
  const Case exact = it.as(torch::kFloat64);
  const test::DualLevel level;
  const Tensor y = fused(moving(single, which));
  const Tensor expected = tangent_of(no_grad([&] { return plain(moving(exact, which)); }));
  EXPECT_LT(error(tangent_of(y), expected), 2 * place.rounding);
  EXPECT_GT(test::largest(expected), 0.01);
  EXPECT_FALSE(y._fw_grad(0).requires_grad());
  EXPECT_EQ(y._fw_grad(0).strides(), y.strides());
  EXPECT_TRUE(torch::equal(value_of(y), fused(single)));
  EXPECT_TRUE(value_of(y).requires_grad());
}

TEST(GroupNormKernel, ItsTangentAgreesWithThePlainPathsInDouble) {
  for (const Place& place : places()) {
    for_each_case([&](const Case& on_cpu) {
      const Case it = on_cpu.on(place.device, place.images);
      if (on_cpu.x.numel() == on_cpu.x.size(0) * on_cpu.norm.groups) return;  // groups of one number stay 0
      expect_plain_tangent(it, {.x = true, .condition = false}, place);
      if (it.added.defined()) {
        expect_plain_tangent(it, {.x = true, .condition = false, .added = true}, place);
        const bool alone = it.x.size(1) > it.norm.groups;  // the mean of one channel takes it away
        if (alone) expect_plain_tangent(it, {.x = false, .condition = false, .added = true}, place);
      }
      if (!it.condition.defined()) return;
      expect_plain_tangent(it, {.x = true, .condition = true}, place);
      expect_plain_tangent(it, {.x = false, .condition = true}, place);
    });
  }
}

TEST(GroupNormKernel, TheNumberOfThreadsDoesNotChangeItsTangent) {
  const int threads = at::get_num_threads();
  const Case it = some_case({3, 96, 32, 33, 32}, kFormats[1], true, Activation::silu);
  const auto with_threads = [&](int count) {
    at::set_num_threads(count);
    const test::DualLevel level;
    return tangent_of(fused(moving(it, {.x = true, .condition = true})));
  };
  EXPECT_TRUE(torch::equal(with_threads(1), with_threads(3)));
  at::set_num_threads(threads);
}

// Parameters that have tangents have them by the operators alone.
TEST(GroupNormKernel, TangentsOfParametersAreThePlainPaths) {
  for (const bool of_weight : {true, false}) {
    const torch::NoGradGuard no_graph;
    const test::DualLevel level;
    Case it = some_case({2, 64, 8, 6, 6}, torch::MemoryFormat::ChannelsLast, true, Activation::silu);
    Tensor& parameter = of_weight ? it.norm.weight : it.norm.bias;
    parameter = dual(parameter, parameter.cos());
    it = moving(it, {.x = true, .condition = false});
    const Tensor y = fused(it);
    EXPECT_TRUE(torch::equal(value_of(y), value_of(plain(it))));
    EXPECT_TRUE(torch::equal(tangent_of(y), tangent_of(plain(it))));
    EXPECT_GT(test::largest(tangent_of(y)), 0.1);
  }
}

TEST(GroupNormKernel, TheTangentOfAnActivation) {
  const Tensor h = torch::linspace(-8, 8, 33, torch::kFloat64);
  const test::DualLevel level;
  const Tensor y = activated(dual(h, h.cos()), Activation::silu);
  const Tensor s = h.sigmoid();
  EXPECT_LT(error(tangent_of(y), h.cos() * s * (1 + h * (1 - s))), 1e-15);
  EXPECT_LT(error(value_of(y), h * s), 1e-15);
}

TEST(GroupNormKernel, OtherTypesTakeThePlainPath) {
  const Case it = some_case(kShapes[0], torch::MemoryFormat::ChannelsLast, true, Activation::silu);
  const Case exact = it.as(torch::kFloat64);
  EXPECT_TRUE(torch::equal(fused(exact), plain(exact)));
  EXPECT_THAT(fused(exact).grad_fn()->name(), HasSubstr("Silu"));
}

TEST(GroupNormKernel, WhatDoesNotFitIsRefused) {
  const Case good = some_case(kShapes[0], torch::MemoryFormat::Contiguous, true, Activation::silu);
  const auto refusal = [&](const auto& spoil) {
    Case it = good;
    spoil(it);
    return test::message_of<c10::Error>([&] { fused(it); });
  };
  EXPECT_THAT(refusal([](Case& it) { it.norm.groups = 5; }),
              HasSubstr("group normalisation needs a multiple of 5 channels, got 32"));
  EXPECT_THAT(refusal([](Case& it) { it.norm.bias = torch::ones({31}); }),
              HasSubstr("group normalisation of 32 channels needs as many weights, got [31]"));
  EXPECT_THAT(refusal([](Case& it) { it.condition = it.condition.narrow(1, 0, 32); }),
              HasSubstr("needs a condition [2, 64], got [2, 32]"));
  EXPECT_THAT(refusal([](Case& it) {
                it.added = torch::ones({3, 32});
              }),
              HasSubstr("of x [2, 32, 8, 8] plus a bias [3, 32]"));
  EXPECT_THAT(refusal([](Case& it) { it.x = it.x[0][0][0]; }), HasSubstr("needs x [B, C, …], got [8]"));
  EXPECT_THAT(refusal([](Case& it) {
                it.more = torch::ones({2, 3, 8, 4});
              }),
              HasSubstr("of Float [2, 32, 8, 8] on cpu beside Float [2, 3, 8, 4] on cpu"));
  EXPECT_THAT(refusal([](Case& it) { it.more = it.x.to(torch::kHalf); }), HasSubstr("beside Half"));
}

}  // namespace
}  // namespace cm
