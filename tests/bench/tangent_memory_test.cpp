// What a tangent beside a network's value costs in memory.
#include <gmock/gmock.h>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/bench/measured_memory.h"
#include "cm/diffusion/jvp.h"
#include "cm/kernels/normal.h"
#include "src/nn/dual_attention.h"
#include "support/dropout_keys.h"
#include "support/dual_level.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;

constexpr int64_t kImages = 4;
constexpr ImageSpec kUnlabelled = {.channels = 3, .size = 16};

NetworkOptions three_levels(const std::string& architecture, bool checkpointing) {
  UNetOptions network = test::small_unet();
  network.channel_mult = {1, 2, 3};
  network.attention_resolutions = {8};
  network.head_channels = 16;
  network.dropout = 0.2;
  network.activation_checkpointing = checkpointing;
  if (architecture == "adm") network.double_norm = true;
  return test::of_architecture(architecture, network);
}

struct Passes {
  PassMemory plain;
  PassMemory with_tangent;
};

Passes passes_of(const NetworkOptions& options, int64_t images = kImages) {
  const auto network = make_network(options, kUnlabelled, 1);
  const Denoiser f = [&](const Tensor& x, const Tensor& t) {
    return network->forward(x, {t}, test::dropout_keys(1, images));
  };
  const auto draw = [&](uint64_t seed) {
    return normal({.seed = seed}, sample_range(0, images),
                  {kUnlabelled.channels, kUnlabelled.size, kUnlabelled.size});
  };
  const Tensor t = torch::full({images}, 0.5);
  const Direction direction{draw(2), torch::ones_like(t)};
  return {measured_pass([&, x = draw(1)] { return f(x, t); }),
          measured_pass([&, x = draw(1)] { return jvp_with_graph(f, x, t, direction).value; })};
}

template <class Check>
void for_each_network(const Check& check) {
  for (const auto& architecture : test::architectures()) {
    for (const bool checkpointing : {false, true}) {
      SCOPED_TRACE(architecture + (checkpointing ? ", recomputed" : ""));
      check(three_levels(architecture, checkpointing));
    }
  }
}

// At once there are no more tangents than in a pass without a graph.
TEST(TangentMemory, TheBackwardPassKeepsNoTangents) {
  for_each_network([](const NetworkOptions& options) {
    const auto [plain, with_tangent] = passes_of(options);
    EXPECT_NEAR(with_tangent.kept / plain.kept, 1, 1e-3);
    const double tangents = with_tangent.inference_peak - plain.inference_peak;
    EXPECT_LE(with_tangent.training_peak, plain.training_peak + tangents);
  });
}

TEST(TangentMemory, ThePeakIsWhatIsMeasured) {
  for_each_network([](const NetworkOptions& options) {
    const double once = passes_of(options).with_tangent.training_peak;
    const double twice = passes_of(options, 2 * kImages).with_tangent.training_peak;
    const double computed = training_peak_with_tangent(
        sizes_of(options, kUnlabelled, Kernels::fused).segments, /*computed_bytes=*/4);
    EXPECT_THAT(computed * kImages / (twice - once), AllOf(Ge(0.93), Le(1.1)));
  });
}

// A matrix of all pairs of 4096 positions is 16 times that of 1024.
TEST(TangentMemory, OfAttentionGrowsWithThePositions) {
  constexpr int64_t kHeads = 2;
  const auto peak = [](int64_t positions) {
    const auto draw = [&](uint64_t seed) {
      return normal({.seed = seed}, sample_range(0, 1), {kHeads, positions, 16});
    };
    const std::vector<Tensor> values = {draw(1).requires_grad_(true), draw(2), draw(3)};
    const std::vector<Tensor> tangents = {draw(4), draw(5), draw(6)};
    return measured_pass([&] {
             const test::DualLevel level;
             const auto moving = [&](size_t i) { return dual(values[i], tangents[i]); };
             return value_of(dual_attention(moving(0), moving(1), moving(2)));
           })
        .training_peak;
  };
  const double large = peak(4096);
  EXPECT_LT(large / peak(1024), 4.1);
  EXPECT_LT(large, 0.3 * kHeads * 4096 * 4096 * sizeof(float));
}

}  // namespace
}  // namespace cm
