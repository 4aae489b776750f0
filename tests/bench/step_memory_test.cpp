#include "cm/bench/step_memory.h"

#include <gmock/gmock.h>

#include "cm/base/error.h"
#include "cm/bench/measured_memory.h"
#include "cm/yaml/reader.h"
#include "support/loopback.h"

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

TEST(StepMemory, OfARankIsWhatItTakes) {
  const BenchCase bench_case = small_steps_case();
  for (const Shard shard : {Shard::none, Shard::optimizer, Shard::gradients}) {
    SCOPED_TRACE(to_string(shard));
    StepSetup setup = setup_of(bench_case, "objective: ct\n");
    setup.shard = shard;
    setup.ranks = 2;
    const StepMemory computed = step_memory(setup);
    test::on_ranks(2, [&](const World& world) {
      const MeasuredStep measured = measured_step(bench_case, kObjective<CtOptions>, world, shard);
      EXPECT_NEAR((computed.state() - computed.under_way) / measured.state, 1, 0.001);
      const double total = computed.total(bench_case.batch);
      EXPECT_NEAR(total / measured.peak, 1, 0.05);
    });
  }
}

TEST(StepMemory, CutsWhatItIsTold) {
  StepSetup setup = small_setup("objective: ct\nema: {rates: [0.9, 0.99]}\n");
  const StepMemory whole = step_memory(setup);
  setup.shard = Shard::optimizer;
  EXPECT_EQ(step_memory(setup).state(), whole.state()) << "one rank has all";
  setup.ranks = 8;
  EXPECT_DOUBLE_EQ(step_memory(setup).state(), (1 + 1 + 2 / 8.0 + 1 + 2 / 8.0) * whole.weights);
  setup.shard = Shard::gradients;
  EXPECT_DOUBLE_EQ(step_memory(setup).state() - step_memory(setup).under_way,
                   (1 + 1 / 8.0 + 2 / 8.0 + 1 + 2 / 8.0) * whole.weights);
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
  const double parameters = 1000;
  for (const int64_t ranks : {1, 2, 4, 8}) {
    double sent = 0;
    for (int64_t round = 0; round < 2 * (ranks - 1); ++round) {
      sent += 4 * parameters / static_cast<double>(ranks);
    }
    EXPECT_DOUBLE_EQ(step_bytes(parameters, ranks), sent) << ranks;
    EXPECT_DOUBLE_EQ(step_bytes(parameters, ranks, Shard::optimizer, 5), sent) << "halves of the same";
    EXPECT_DOUBLE_EQ(step_bytes(parameters, ranks, Shard::gradients, 5), 3 * sent) << "five and one";
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
  EXPECT_THAT(message([] { step_bytes(1, 0); }), HasSubstr("there must be a rank, got 0"));
}

}  // namespace
}  // namespace cm
