#include "cm/bench/step_memory.h"

#include <gmock/gmock.h>

#include "cm/base/error.h"
#include "cm/bench/measured_memory.h"
#include "cm/yaml/reader.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;

BenchCase small_steps_case() {
  BenchCase bench_case;
  bench_case.image_size = 16;
  bench_case.in_channels = 3;
  bench_case.model_channels = 32;
  bench_case.channel_mult = {1, 2};
  bench_case.res_blocks = 1;
  bench_case.attention_resolutions = {8};
  bench_case.head_channels = 16;
  bench_case.batch = 64;
  bench_case.sample_batch = 1;
  return bench_case;
}

StepSetup setup_of(const BenchCase& bench_case, const std::string& config) {
  const ModelOptions model = model_options_of(bench_case, Parameterization::edm);
  RunConfig read = read_config<RunConfig>(
      parse_yaml("data: {path: images}\nmodel: {channels: 32}\n" + config, "run.yaml"));
  read.model = model.network;
  return step_setup(read, model.image);
}

StepSetup small_setup(const std::string& config = "objective: edm\n") {
  return setup_of(small_steps_case(), config);
}

// A step of one pass has its gradients only at the end, when the activations are gone: up to all of them are
// counted too much.
TEST(StepMemory, IsWhatStepsTake) {
  for (const auto& [objective, config] :
       {std::pair<ObjectiveKind, std::string>{kObjective<EdmOptions>, "objective: edm\n"},
        {kObjective<CdOptions>, "objective: cd\nteacher: {checkpoint: t}\n"},
        {kObjective<CtOptions>, "objective: ct\n"},
        {kObjective<SctOptions>, "objective: sct\n"}}) {
    const BenchCase bench_case = small_steps_case();
    const MeasuredStep measured = measured_step(bench_case, objective);
    const StepMemory computed = step_memory(setup_of(bench_case, config));
    EXPECT_NEAR((computed.state() - computed.gradients) / measured.state, 1, 0.001) << config;
    const double total = computed.total(bench_case.batch);
    EXPECT_GE(total, measured.peak) << config;
    EXPECT_LE(total - computed.gradients, 1.05 * measured.peak) << config;
  }
}

TEST(StepMemory, CountsTheNetworksOfEveryMethod) {
  const double network = step_memory(small_setup()).weights;
  const StepMemory cd =
      step_memory(small_setup("objective: cd\nteacher: {checkpoint: t}\nema: {rates: [0.9, 0.99]}\n"));
  EXPECT_EQ(cd.state(), (4 + 1 + 1 + 2) * network);
  const StepMemory ict = step_memory(small_setup("objective: ict\nema: {rates: [0.9]}\n"));
  EXPECT_EQ(ict.state(), (4 + 1) * network);
  EXPECT_EQ(broadcast_bytes(cd), (1 + 2 + 1 + 2) * network);
}

TEST(StepMemory, MixedPrecisionKeepsTheStateAndCastsTheTrunk) {
  StepSetup setup = small_setup("objective: cd\nteacher: {checkpoint: t}\n");
  const StepMemory fp32 = step_memory(setup);
  setup.computed_bytes = 2;
  const StepMemory mixed = step_memory(setup);
  EXPECT_EQ(mixed.weights + mixed.gradients + mixed.moments + mixed.target + mixed.averages,
            fp32.weights + fp32.gradients + fp32.moments + fp32.target + fp32.averages);
  EXPECT_EQ(mixed.teacher + mixed.cast, fp32.teacher) << "half the trunk's weights, and half of them again";
  EXPECT_LT(mixed.peak_of_image, 0.6 * fp32.peak_of_image);
}

TEST(StepMemory, LpipsAddsItsWeightsAndItsActivations) {
  const StepMemory plain = step_memory(small_setup("objective: ct\n"));
  const StepMemory lpips =
      step_memory(small_setup("objective: ct\nct: {distance: lpips}\nlpips: {weights: w}\n"));
  EXPECT_NEAR(lpips.lpips / 4, 14.7e6, 0.1e6);  // VGG16's convolutions
  EXPECT_GT(lpips.peak_of_image, plain.peak_of_image + 86e6);
  EXPECT_EQ(lpips.kept_of_image, plain.kept_of_image);
}

TEST(StepMemory, TheLargestBatchIsTheLastThatFits) {
  const StepMemory memory = step_memory(small_setup());
  const double bytes = 1e9;
  const int64_t largest = memory.largest_batch(bytes);
  EXPECT_LE(memory.total(largest), bytes);
  EXPECT_GT(memory.total(largest + 1), bytes);
  EXPECT_EQ(memory.largest_batch(memory.state() / 2), 0);
}

// A ring by its definition: the buffer in P parts; in each of P − 1 rounds every rank sends one part to be
// summed, and in P − 1 more one that is.
TEST(StepMemory, AnAllReduceSendsWhatARingSends) {
  const double parameters = 999;  // and the loss
  for (const int64_t ranks : {1, 2, 4, 8}) {
    double sent = 0;
    for (int64_t round = 0; round < 2 * (ranks - 1); ++round) {
      sent += 4 * (parameters + 1) / static_cast<double>(ranks);
    }
    EXPECT_DOUBLE_EQ(all_reduce_bytes(parameters, ranks), sent) << ranks;
  }
}

TEST(StepMemory, RefusesWhatItDoesNotKnow) {
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message([] { step_setup(RunConfig(), {}); }), HasSubstr("the network must be given"));
  EXPECT_THAT(
      message([] {
        small_setup(
            "objective: continuous_cd\nteacher: {checkpoint: t}\ncontinuous_cd: {stop_gradient: false}\n");
      }),
      HasSubstr("differentiates twice is not known"));
  StepSetup setup = small_setup();
  setup.computed_bytes = 3;
  EXPECT_THAT(message([&] { step_memory(setup); }), HasSubstr("2 or 4 bytes, got 3"));
  EXPECT_THAT(message([] { all_reduce_bytes(1, 0); }), HasSubstr("there must be a rank, got 0"));
}

}  // namespace
}  // namespace cm
