// The group normalisation's kernels for GPUs, run on the host: what they compute, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/group_norm_cases.h"
#include "kernels/guarded_array.h"
#include "src/kernels/cuda_call.h"
#include "src/kernels/group_norm_launches.cuh"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;
using group_norm_cuda::Plan;
using test::Case;
using test::error;
using test::Guarded;
using test::Shape;

// Where x lies beside a multiple of 16 bytes, and how many multiprocessors are to be kept busy.
struct Circumstances {
  bool aligned = true;
  int multiprocessors = 1;
  Order order = Order::upwards;
};

struct Results {
  Tensor y;
  std::vector<Tensor> gradients;  // of Case::inputs
  Plan plan;
};

// A case's arrays, and both passes over them.
class Emulation {
 public:
  Emulation(const Case& it, const Circumstances& circumstances)
      : it_(it),
        circumstances_(circumstances),
        last_(!it.x.is_contiguous()),
        x_(memory_of(it.x), circumstances.aligned),
        more_(it.more.defined() ? memory_of(it.more) : torch::empty({0}, it.x.options()),
              circumstances.aligned),
        dy_(memory_of(it.dy), circumstances.aligned),
        plan_(*group_norm_cuda::plan_for(
            {.batch = it.dy.size(0),
             .channels = it.dy.size(1),
             .seam = it.x.size(1),
             .positions = it.dy.numel() / it.dy.size(0) / it.dy.size(1),
             .groups = it.norm.groups,
             .layout = last_ ? NormLayout::channels_last : NormLayout::channels_first,
             .bytes = static_cast<int>(it.x.element_size()),
             .aligned = circumstances.aligned},
            circumstances.multiprocessors)) {}

  Results run() const {
    const int64_t batch = it_.dy.size(0);
    const int64_t channels = it_.dy.size(1);
    const auto type = it_.x.scalar_type();
    const Guarded y(it_.dy.numel(), type, circumstances_.aligned);
    const Guarded mean(batch * it_.norm.groups, torch::kFloat32);
    const Guarded rstd(batch * it_.norm.groups, torch::kFloat32);
    const Guarded deviation(batch * channels, torch::kFloat32);
    float* const kept = it_.added.defined() ? deviation.floats() : nullptr;
    const Guarded forward_space(forward_workspace(plan_, batch), torch::kFloat32);
    const HostLaunch<group_norm_cuda::kThreads> launch{circumstances_.order};
    launch_forward(launch, input(), cuda::number_of(it_.x), plan_, it_.norm.epsilon,
                   {y.data(), mean.floats(), rstd.floats(), kept}, forward_space.floats());
    const Guarded dx(it_.x.numel(), type, circumstances_.aligned);
    const Guarded dmore(it_.dy.numel() - it_.x.numel(), type, circumstances_.aligned);
    const Guarded dweight(channels, torch::kFloat32);
    const Guarded dbias(channels, torch::kFloat32);
    const Guarded dcondition(batch * 2 * channels, torch::kFloat32);
    const Guarded dadded(batch * channels, torch::kFloat32);
    const Guarded backward_space(backward_workspace(plan_, batch), torch::kFloat32);
    const bool conditioned = it_.condition.defined();
    launch_backward(launch, input(), cuda::number_of(it_.x), plan_,
                    {mean.floats(), rstd.floats(), kept, dy_.data()},
                    {{dx.data(), dmore.data(), it_.x.size(1)},
                     dweight.floats(),
                     dbias.floats(),
                     conditioned ? dcondition.floats() : nullptr,
                     it_.added.defined() ? dadded.floats() : nullptr},
                    backward_space.floats());
    for (const Guarded* array : {&x_, &more_, &dy_, &y, &mean, &rstd, &deviation, &forward_space, &dx, &dmore,
                                 &dweight, &dbias, &dcondition, &dadded, &backward_space}) {
      EXPECT_TRUE(array->margins_are_whole());
    }
    Results results{.y = image_of(y, it_.dy),
                    .gradients = {image_of(dx, it_.x), dweight.inside(), dbias.inside()},
                    .plan = plan_};
    if (conditioned) results.gradients.push_back(dcondition.inside().view({batch, 2 * channels}));
    if (it_.added.defined()) {
      const Tensor of_images = dadded.inside().view({batch, channels});
      results.gradients.push_back(it_.added.dim() == 1 ? of_images.sum(0) : of_images);
    }
    if (it_.more.defined()) results.gradients.push_back(image_of(dmore, it_.more));
    return results;
  }

 private:
  // In the order of its addresses.
  Tensor memory_of(const Tensor& image) const {
    return (last_ ? image.permute({0, 2, 3, 1}) : image).detach().reshape(-1);
  }
  Tensor image_of(const Guarded& memory, const Tensor& like) const {
    const auto sizes = like.sizes();
    return last_ ? memory.inside().view({sizes[0], sizes[2], sizes[3], sizes[1]}).permute({0, 3, 1, 2})
                 : memory.inside().view(sizes);
  }
  group_norm_cuda::Input input() const {
    return {.batch = it_.dy.size(0),
            .channels = it_.dy.size(1),
            .positions = it_.x.size(2) * it_.x.size(3),
            .groups = it_.norm.groups,
            .layout = plan_.layout,
            .silu = it_.activation == Activation::silu,
            .x = {x_.data(), more_.data(), it_.x.size(1)},
            .added = it_.added.defined() ? it_.added.const_data_ptr<float>() : nullptr,
            .added_row = it_.added.defined() && it_.added.dim() == 2 ? it_.dy.size(1) : 0,
            .weight = it_.norm.weight.const_data_ptr<float>(),
            .bias = it_.norm.bias.const_data_ptr<float>(),
            .condition = it_.condition.defined() ? it_.condition.const_data_ptr<float>() : nullptr};
  }

  const Case& it_;
  Circumstances circumstances_;
  bool last_;
  Guarded x_;
  Guarded more_;
  Guarded dy_;
  Plan plan_;
};

Case in_type(Case it, torch::Dtype type) {
  it.x = it.x.to(type);
  if (it.more.defined()) it.more = it.more.to(type);
  it.dy = it.dy.to(type);
  return it;
}

// Half a unit in the last place of the type, or what sums in fp32 lose.
double rounding(torch::Dtype type) {
  if (type == torch::kFloat16) return 5e-4;
  return type == torch::kBFloat16 ? 4e-3 : 2e-6;
}

constexpr double kSumRounding = 1e-5;

void expect_plain(const Case& it, const Results& run) {
  const Case exact = it.as(torch::kFloat64);
  const Tensor y = plain_group_norm(exact.input(), exact.norm, exact.condition, exact.activation);
  const auto gradients = torch::autograd::grad({y}, exact.inputs(), {exact.dy});
  const double tolerance = rounding(it.x.scalar_type());
  EXPECT_LT(error(run.y, y), tolerance);
  ASSERT_EQ(run.gradients.size(), gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const bool of_image = gradients[i].dim() == 4;
    EXPECT_LT(error(run.gradients[i], gradients[i]), of_image ? tolerance : kSumRounding) << "input " << i;
  }
}

// One channel a group, several and all; channels and positions that do and do not fill vectors; a group that
// a vector crosses; an only channel or position; sets of which the last is smaller; rows of a block that
// channels do not divide; more columns than threads; more images than rows in the sum over them.
constexpr std::array kHostShapes = {Shape{2, 32, 32, 4, 4}, Shape{1, 64, 8, 3, 3},  Shape{1, 12, 3, 7, 5},
                                    Shape{2, 1, 1, 16, 16}, Shape{3, 20, 5, 1, 1},  Shape{1, 48, 2, 6, 4},
                                    Shape{1, 96, 32, 9, 8}, Shape{1, 321, 1, 2, 1}, Shape{35, 8, 4, 2, 2}};

template <class Check>
void for_each_host_case(const Check& check) {
  bool conditioned = false;
  int activations = 0;
  for (const Shape& shape : kHostShapes) {
    for (const auto format : test::kFormats) {
      for (const auto type : test::kNumberTypes) {
        conditioned = !conditioned;
        const auto added = static_cast<test::Added>(activations % 4 % 3);
        const auto activation = activations++ % 3 == 0 ? Activation::none : Activation::silu;
        SCOPED_TRACE(testing::Message() << type << " x [" << shape.batch << ", " << shape.channels << ", "
                                        << shape.height << ", " << shape.width << "], " << shape.groups
                                        << " groups, " << format << (conditioned ? ", conditioned" : "")
                                        << (activation == Activation::silu ? ", SiLU" : ""));
        check(in_type(test::some_case(shape, format, conditioned, activation, added), type));
      }
    }
  }
}

TEST(GroupNormForGpus, AgreesWithThePlainPathInDouble) {
  for_each_host_case([](const Case& it) { expect_plain(it, Emulation(it, {}).run()); });
}

TEST(GroupNormForGpus, ArraysThatAreNotAlignedAreReadNumberByNumber) {
  for (const auto format : test::kFormats) {
    for (const auto type : test::kNumberTypes) {
      const Case it = in_type(test::some_case({1, 32, 8, 4, 4}, format, true, Activation::silu), type);
      const Results run = Emulation(it, {.aligned = false}).run();
      EXPECT_EQ(run.plan.vector, 1);
      expect_plain(it, run);
    }
  }
}

// Whose vectors are whole and, cut elsewhere, single numbers; with one slice and several.
TEST(GroupNormForGpus, TwoImagesAreOneOfTheirChannels) {
  for (const auto format : test::kFormats) {
    for (const auto type : test::kNumberTypes) {
      for (const Shape& shape : {Shape{2, 48, 4, 4, 4}, Shape{1, 48, 3, 50, 48}}) {
        const Case whole = test::some_case(shape, format, true, Activation::silu, test::Added::to_each);
        for (const int64_t seam : {16, 29}) {
          const Case it = in_type(whole.cut(seam), type);
          const Results run = Emulation(it, {.multiprocessors = 132}).run();
          SCOPED_TRACE(testing::Message() << type << format << ", seam " << seam);
          const bool vectors = format == torch::MemoryFormat::Contiguous || seam == 16;
          EXPECT_EQ(run.plan.vector > 1, vectors);
          expect_plain(it, run);
        }
      }
    }
  }
}

// As many multiprocessors as it takes to divide an image, of which the last slice is shorter.
TEST(GroupNormForGpus, ImagesInSlicesAgreeToo) {
  for (const auto format : test::kFormats) {
    for (const auto type : test::kNumberTypes) {
      const Case it = in_type(
          test::some_case({1, 32, 4, 50, 48}, format, true, Activation::silu, test::Added::to_each), type);
      const Results run = Emulation(it, {.multiprocessors = 132}).run();
      EXPECT_GT(run.plan.slices, 1);
      EXPECT_NE(run.plan.slice * run.plan.slices, run.plan.positions);
      expect_plain(it, run);
    }
  }
}

// Where x is a thousand times its deviation, 1e-7 · 1000 of it is all that fp32 has.
TEST(GroupNormForGpus, ALargeMeanCostsNoMoreThanRounding) {
  for (const auto format : test::kFormats) {
    for (const int multiprocessors : {1, 132}) {
      Case it = test::some_case({1, 32, 4, 50, 48}, format, false, Activation::none);
      it.x = it.x + 1000;
      const Tensor exact =
          plain_group_norm(it.x.to(torch::kFloat64),
                           {it.norm.groups, it.norm.epsilon, it.norm.weight.to(torch::kFloat64),
                            it.norm.bias.to(torch::kFloat64)},
                           {}, it.activation);
      EXPECT_LT(error(Emulation(it, {.multiprocessors = multiprocessors}).run().y, exact), 1e-4);
    }
  }
}

TEST(GroupNormForGpus, WhatIsNotFiniteStaysSo) {
  for (const auto format : test::kFormats) {
    const Case it = test::some_case({2, 32, 8, 4, 4}, format, false, Activation::silu);
    it.x[1][5][2][3] = std::numeric_limits<float>::infinity();
    const Tensor y = Emulation(it, {}).run().y;
    EXPECT_TRUE(y[1].narrow(0, 4, 4).isfinite().logical_not().all().item<bool>());
    EXPECT_TRUE(y[0].isfinite().all().item<bool>());
  }
}

// A missing barrier shows where the other half of the threads comes first.
TEST(GroupNormForGpus, TheOrderOfTheThreadsChangesNothing) {
  for (const auto format : test::kFormats) {
    for (const Shape& shape : {Shape{1, 96, 32, 9, 8}, Shape{1, 321, 1, 3, 1}, Shape{1, 32, 4, 50, 48}}) {
      const Case it = test::some_case(shape, format, true, Activation::silu, test::Added::to_all);
      const Results up = Emulation(it, {.multiprocessors = 132}).run();
      const Results down = Emulation(it, {.multiprocessors = 132, .order = Order::downwards}).run();
      EXPECT_TRUE(torch::equal(up.y, down.y));
      for (size_t i = 0; i < up.gradients.size(); ++i) {
        EXPECT_TRUE(torch::equal(up.gradients[i], down.gradients[i])) << "input " << i;
      }
    }
  }
}

}  // namespace
}  // namespace cm
