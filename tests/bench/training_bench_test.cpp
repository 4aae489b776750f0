#include "cm/bench/training_bench.h"

#include <gtest/gtest.h>

#include "cm/kernels/paths.h"
#include "src/bench/sampling_bench.h"

namespace cm {
namespace {

BenchCase tiny_case() {
  BenchCase bench_case;
  bench_case.image_size = 4;
  bench_case.model_channels = 32;
  bench_case.channel_mult = {1};
  bench_case.res_blocks = 1;
  bench_case.attention_resolutions = {4};
  bench_case.head_channels = 16;
  bench_case.num_classes = 3;
  bench_case.batch = 2;
  bench_case.sample_batch = 3;
  return bench_case;
}

TEST(TrainingBench, NoLayerIsZero) {
  const Model model = random_model(model_options_of(tiny_case(), Parameterization::skip), torch::kCPU, 1);
  for (const auto& [name, weight] : model.named_weights()) {
    EXPECT_GT(weight.count_nonzero().item<int64_t>(), 0) << name;
  }
}

TEST(TrainingBench, AStepTrains) {
  for (const auto objective : {kObjective<EdmOptions>, kObjective<CdOptions>, kObjective<CtOptions>}) {
    TrainingBench bench(tiny_case(), objective, torch::kCPU);
    const Tensor before = bench.student().parameters().front().clone();
    bench.step();
    bench.step();
    EXPECT_FALSE(before.equal(bench.student().parameters().front())) << to_string(objective);
    EXPECT_GT(bench.loss(), 0) << to_string(objective);
  }
}

TEST(TrainingBench, Edm2TrainsAsPublished) {
  BenchCase bench_case = tiny_case();
  bench_case.architecture = BenchArchitecture::edm2;
  TrainingBench bench(bench_case, kObjective<EdmOptions>, torch::kCPU);
  const KernelCalls calls = kernel_calls_during([&] { bench.step(); });
  EXPECT_TRUE(std::holds_alternative<Edm2Options>(bench.student().options().network));
  EXPECT_EQ(calls.at(Kernel::update_averages).by_kernel, 2);
}

TEST(SamplingBench, ABatchIsBytesInHostMemory) {
  for (const auto& [kind, evaluations_wanted] : {std::pair<Sampler, int64_t>{SamplerKind::onestep, 1},
                                                 {SamplerKind::multistep, 2},
                                                 {Solver::heun, 35}}) {
    SamplingBench bench(tiny_case(), kind, torch::kCPU);
    EXPECT_EQ(evaluations(bench.sampler()), evaluations_wanted);
    const Tensor first = bench.batch();
    EXPECT_EQ(first.sizes(), torch::IntArrayRef({3, 4, 4, 3}));
    EXPECT_EQ(first.scalar_type(), torch::kUInt8);
    EXPECT_TRUE(first.is_contiguous());
    EXPECT_FALSE(first.equal(bench.batch())) << "the same images again";
  }
}

}  // namespace
}  // namespace cm
