// Which path the kernels' calls take where real networks train. A call that leaves its kernel is right but
// slow, so that no test of values notices.
#include "cm/kernels/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/kernels/convolution.h"
#include "cm/kernels/device_graph.h"
#include "cm/kernels/normal.h"
#include "cm/nn/magnitude_preserving.h"
#include "cm/training/trainer.h"
#include "support/devices.h"
#include "support/operators.h"
#include "support/small_dit.h"
#include "support/small_unet.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

struct PathCase {
  std::string name;
  NetworkOptions network;
  // The convolutions whose channels do not fill vectors, being from images or to them.
  std::vector<std::string> narrow;
};

// Two levels of blocks, one of them with attention.
template <class Options = AdmOptions>
Options two_levels() {
  auto options = test::small_unet<Options>();
  options.head_channels = 16;
  options.dropout = 0.1;
  return options;
}

std::vector<PathCase> path_cases() {
  AdmOptions resampled = two_levels();
  resampled.resblock_updown = false;
  return {
      {"adm", two_levels(), {"input_blocks.0.0", "out.2"}},
      {"adm, resampled by convolutions", resampled, {"input_blocks.0.0", "out.2"}},
      {"ddpmpp", two_levels<DdpmppOptions>(), {"enc.8x8_conv", "dec.8x8_aux_conv"}},
      {"ncsnpp", two_levels<NcsnppOptions>(), {"enc.8x8_conv", "dec.8x8_aux_conv"}},
      {"edm2", two_levels<Edm2Options>(), {"enc.8x8_conv", "out_conv"}},
  };
}

constexpr int64_t kStepImages = 16;
constexpr int64_t kPasses = 4;

// Consistency distillation: a step goes forward through four networks, the student, the target and twice the
// teacher, and back through one.
struct DistillationRun {
  DistillationRun(const NetworkOptions& network, const torch::Device& device)
      : student(options_of(network, Parameterization::skip), device, 1),
        target(options_of(network, Parameterization::skip), device, 1),
        teacher(options_of(network, Parameterization::edm), device, 2),
        trainer(train_options(), {}, {.rates = {0.5, 0.9}},
                objective_of(CdOptions{}, {.student = student,
                                           .target = &target,
                                           .teacher = &teacher,
                                           .distance = make_distance({}),
                                           .seed = 7}),
                student, &target) {
    target.freeze();
    teacher.freeze();
  }

  static ModelOptions options_of(const NetworkOptions& network, Parameterization parameterization) {
    ModelOptions options = test::tiny_options(parameterization);
    options.network = network;
    common_options(options.network).second_time = is_flow_map(parameterization);
    options.image = {.channels = 3, .size = 8, .classes = 10};
    return options;
  }

  static TrainOptions train_options() {
    TrainOptions options = test::tiny_train_options();
    options.batch_size = kStepImages;
    return options;
  }

  static Batch batch() {
    return {normal({.seed = 3}, sample_range(0, kStepImages), {3, 8, 8}),
            torch::arange(kStepImages).remainder(10)};
  }

  void step(const Batch& drawn) { trainer.step(drawn); }

  Model student;
  Model target;
  Model teacher;
  Trainer trainer;
};

// What keeps Winograd's form from all convolutions: a GPU, where LibTorch's libraries convolve, or a
// processor that has not its instructions.
std::optional<Obstacle> obstacle_to_any_winograd(const torch::Device& device) {
  const auto ones = [&](const std::vector<int64_t>& sizes) { return torch::ones(sizes, device); };
  return obstacle_to_winograd(ones({kStepImages, 16, 8, 8}), ones({16, 16, 3, 3}), ones({16}));
}

void expect_narrow(const Model& model, const std::vector<std::string>& names) {
  const auto weights = model.named_weights();
  for (const std::string& name : names) {
    const Tensor& weight = weights.at(name + ".weight");
    EXPECT_EQ(weight.size(2), 3) << name;
    EXPECT_TRUE(weight.size(0) % 16 != 0 || weight.size(1) % 16 != 0) << name << ' ' << weight.sizes();
  }
}

// What LibTorch does in place of a kernel that a step should meet, by the name it has there.
std::vector<std::string> slow_operators(const std::vector<std::string>& paths) {
  std::vector<std::string> found;
  for (const std::string& path : paths) {
    const std::string name = path.substr(path.rfind('/') + 1);
    const bool slow = name.starts_with("aten::_foreach") || name == "aten::native_group_norm" ||
                      name == "aten::_scaled_dot_product_attention_math";
    if (slow) found.push_back(path);
  }
  return found;
}

// Weights that a step begins with scaling, and what a pass scales of weights and activations.
struct ScaledRows {
  int64_t weights;
  int64_t of_a_pass;
};

// As EDM2 does: each weight and the pixels of all of the encoder's blocks and of all queries, keys and
// values.
ScaledRows scaled_rows_of(const Model& model) {
  const auto weights = static_cast<int64_t>(magnitude_preserving_weights(model.network()).size());
  const auto* options = std::get_if<Edm2Options>(&model.options().network);
  if (options == nullptr) return {0, 0};
  int64_t activations = 0;
  for (const UNetStage& stage : plan_of(*options, model.options().image).stages) {
    const bool is_block = stage.kind != UNetStage::Kind::convolution;
    activations += is_block && stage.section == UNetStage::Section::encoder ? 1 : 0;
    activations += stage.heads > 0 ? 1 : 0;
  }
  return {weights, weights + activations};
}

// By the kernel, as often as `calls` say.
PathCounts by_kernel_in(const KernelCalls& calls, Kernel kernel) {
  const auto found = calls.find(kernel);
  return {.by_kernel = found == calls.end() ? 0 : found->second.by_kernel, .by_operators = {}};
}

// Kernels that meet a network's images wherever it has use for them: expected as often as they were called,
// and never left.
void expect_by_kernel(const KernelCalls& calls, std::initializer_list<Kernel> kernels,
                      KernelCalls& expected) {
  for (const Kernel kernel : kernels) {
    if (calls.contains(kernel)) expected[kernel] = by_kernel_in(calls, kernel);
  }
}

int64_t attentions_of(const Model& model) {
  return std::ranges::count_if(model.named_weights(),
                               [](const auto& named) { return named.first.ends_with("qkv.weight"); });
}

// Of a pass through a U-Net whose sums are kernels': those at the end of an attention and, where Winograd's
// form does not add them, of every block.
void expect_residual_sums(const KernelCalls& calls, const PathCase& path_case, const Model& model,
                          int64_t passes) {
  const int64_t sums = by_kernel_in(calls, Kernel::residual_sum).by_kernel;
  if (std::holds_alternative<Edm2Options>(path_case.network)) {
    EXPECT_EQ(sums, 0);
    return;
  }
  const int64_t of_attentions = passes * attentions_of(model);
  EXPECT_GT(of_attentions, 0);
  if (calls.at(Kernel::convolution_3x3).by_kernel > 0) {
    EXPECT_EQ(sums, of_attentions);
  } else {
    EXPECT_GT(sums, of_attentions);
  }
}

// The box filter's both ways, but where the filter is another.
void expect_box_filter(const KernelCalls& calls, const PathCase& path_case) {
  const bool box = !std::holds_alternative<NcsnppOptions>(path_case.network);
  for (const Kernel kernel : {Kernel::spread_2x2, Kernel::gather_2x2}) EXPECT_EQ(calls.contains(kernel), box);
}

// The calls of a step, given how often the kernels that are not called once were.
KernelCalls expected_calls(const PathCase& path_case, const PathCounts& convolved, int64_t normed,
                           const PathCounts& dropped, const ScaledRows& rows) {
  KernelCalls calls = {{Kernel::convolution_3x3, convolved},
                       {Kernel::dropout, dropped},
                       {Kernel::normal, {1, {}}},
                       {Kernel::norm_of, {1, {}}},
                       {Kernel::adam_update, {1, {}}},
                       {Kernel::update_averages, {3, {}}}};
  if (normed > 0) {
    calls[Kernel::group_norm] = {normed, {}};
    calls[Kernel::group_norm_gradient] = {normed / kPasses, {}};
  }
  if (rows.of_a_pass > 0) {
    calls[Kernel::unit_rows] = {rows.weights + kPasses * rows.of_a_pass, {}};
    calls[Kernel::unit_rows_gradient] = {rows.of_a_pass, {}};
  }
  if (convolved.by_kernel == 0) return calls;
  const auto narrow = static_cast<int64_t>(path_case.narrow.size());
  calls[Kernel::convolution_3x3].by_operators = {{Obstacle::channels, kPasses * narrow}};
  calls[Kernel::convolution_3x3_gradient] = {convolved.by_kernel / kPasses, {}};
  return calls;
}

void expect_fast_step(const PathCase& path_case, const torch::Device& device) {
  DistillationRun run(path_case.network, device);
  expect_narrow(run.student, path_case.narrow);
  std::vector<std::string> operators;
  const Batch batch = DistillationRun::batch();
  const KernelCalls calls =
      kernel_calls_during([&] { operators = test::operators_of([&] { run.step(batch); }); });
  const PathCounts& convolved = calls.at(Kernel::convolution_3x3);
  const int64_t normed = by_kernel_in(calls, Kernel::group_norm).by_kernel;
  const PathCounts dropped = by_kernel_in(calls, Kernel::dropout);
  KernelCalls expected = expected_calls(path_case, convolved, normed, dropped, scaled_rows_of(run.student));
  expect_by_kernel(calls, {Kernel::residual_sum, Kernel::spread_2x2, Kernel::gather_2x2}, expected);
  EXPECT_THAT(lines_of(calls), ElementsAreArray(lines_of(expected)));
  expect_residual_sums(calls, path_case, run.student, kPasses);
  expect_box_filter(calls, path_case);
  // Student, target and gradient.
  EXPECT_TRUE(dropped.by_kernel > 0 && dropped.by_kernel % 3 == 0) << dropped.by_kernel;
  EXPECT_EQ(normed == 0, std::holds_alternative<Edm2Options>(path_case.network));
  const auto obstacle = obstacle_to_any_winograd(device);
  EXPECT_EQ(convolved.by_kernel > 0, !obstacle);
  EXPECT_TRUE(convolved.by_operators.contains(obstacle.value_or(Obstacle::channels)));
  EXPECT_EQ(convolved.by_operators.size(), 1U);
  EXPECT_THAT(slow_operators(operators), ElementsAre());
}

TEST(KernelPaths, AStepOfEveryArchitectureLeavesThemWhereItIsSaidAlone) {
  for (const auto& device : test::devices()) {
    if (device.is_cuda() && DeviceGraph::obstacle(device)) continue;  // built without nvcc
    for (const PathCase& path_case : path_cases()) {
      SCOPED_TRACE(path_case.name + " on " + device.str());
      expect_fast_step(path_case, device);
    }
  }
}

// A step of sCT goes once through the student with its tangent, and back.
void expect_fast_tangents(const PathCase& path_case) {
  Model student(DistillationRun::options_of(path_case.network, Parameterization::trig), torch::kCPU, 1);
  const Objective objective = objective_of(SctOptions{}, {.student = student, .seed = 7});
  Trainer trainer(DistillationRun::train_options(), {}, {.rates = {0.5}}, objective, student, nullptr);
  std::vector<std::string> operators;
  const Batch batch = DistillationRun::batch();
  const KernelCalls calls =
      kernel_calls_during([&] { operators = test::operators_of([&] { trainer.step(batch); }); });
  const PathCounts& convolved = calls.at(Kernel::convolution_3x3);
  const PathCounts dropped = by_kernel_in(calls, Kernel::dropout);
  // Value, tangent and gradient.
  EXPECT_TRUE(dropped.by_kernel > 0 && dropped.by_kernel % 3 == 0) << dropped.by_kernel;
  KernelCalls expected = {{Kernel::convolution_3x3, convolved},
                          {Kernel::dropout, dropped},
                          {Kernel::normal, {1, {}}},
                          {Kernel::norm_of, {1, {}}},
                          {Kernel::adam_update, {1, {}}},
                          {Kernel::update_averages, {1, {}}}};
  expect_by_kernel(calls,
                   {Kernel::unit_rows, Kernel::unit_rows_gradient, Kernel::residual_sum, Kernel::spread_2x2,
                    Kernel::gather_2x2},
                   expected);
  if (const auto norms = calls.find(Kernel::group_norm); norms != calls.end()) {
    for (const Kernel kernel :
         {Kernel::group_norm, Kernel::group_norm_gradient, Kernel::group_norm_tangent}) {
      expected[kernel] = {norms->second.by_kernel, {}};
    }
  }
  expect_residual_sums(calls, path_case, student, /*passes=*/2);
  expect_box_filter(calls, path_case);
  if (!obstacle_to_any_winograd(torch::kCPU)) {
    const auto narrow = static_cast<int64_t>(path_case.narrow.size());
    expected[Kernel::convolution_3x3].by_operators = {{Obstacle::channels, 2 * narrow}};
    expected[Kernel::convolution_3x3_gradient] = {convolved.by_kernel / 2, {}};
    EXPECT_GT(convolved.by_kernel, 0);
  }
  EXPECT_THAT(lines_of(calls), ElementsAreArray(lines_of(expected)));
  EXPECT_THAT(slow_operators(operators), ElementsAre());
}

TEST(KernelPaths, AStepWithTangentsLeavesThemWhereItIsSaidAlone) {
  for (const PathCase& path_case : path_cases()) {
    SCOPED_TRACE(path_case.name);
    expect_fast_tangents(path_case);
  }
}

// A transformer has neither convolutions nor group normalisation.
TEST(KernelPaths, AStepOfATransformerHasFusedAttention) {
  for (const auto& device : test::devices()) {
    if (device.is_cuda() && DeviceGraph::obstacle(device)) continue;  // built without nvcc
    SCOPED_TRACE(device.str());
    DistillationRun run(test::small_dit(), device);
    std::vector<std::string> operators;
    const Batch batch = DistillationRun::batch();
    const KernelCalls calls =
        kernel_calls_during([&] { operators = test::operators_of([&] { run.step(batch); }); });
    const KernelCalls expected = {{Kernel::normal, {1, {}}},
                                  {Kernel::norm_of, {1, {}}},
                                  {Kernel::adam_update, {1, {}}},
                                  {Kernel::update_averages, {3, {}}}};
    EXPECT_THAT(lines_of(calls), ElementsAreArray(lines_of(expected)));
    EXPECT_THAT(slow_operators(operators), ElementsAre());
  }
}

// Every obstacle that the calls of all kernels met.
std::map<Kernel, std::vector<Obstacle>> obstacles_in(const KernelCalls& calls) {
  std::map<Kernel, std::vector<Obstacle>> met;
  for (const auto& [kernel, counts] : calls) {
    for (const auto& [obstacle, count] : counts.by_operators) met[kernel].push_back(obstacle);
  }
  return met;
}

// Tangents are computed by the kernels that compute values, or by one of their own.
TEST(KernelPaths, OfAllMethodsNoneLeavesThemForMore) {
  for (const ObjectiveKind method : test::kMethods) {
    SCOPED_TRACE(to_string(method));
    test::TinyRun run(method);
    const auto met = obstacles_in(kernel_calls_during([&] { run.train_to(2); }));
    std::map<Kernel, std::vector<Obstacle>> expected = {{Kernel::convolution_3x3, {Obstacle::channels}}};
    if (const auto all = obstacle_to_any_winograd(torch::kCPU)) expected[Kernel::convolution_3x3] = {*all};
    EXPECT_EQ(met, expected);
  }
}

}  // namespace
}  // namespace cm
