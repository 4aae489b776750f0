#include "cm/bench/network_memory.h"

#include <gmock/gmock.h>

#include "cm/base/error.h"
#include "cm/bench/measured_memory.h"
#include "support/message_of.h"
#include "support/small_dit.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;

constexpr ImageSpec kImage = {.channels = 3, .size = 16, .classes = 5};

struct NetworkCase {
  std::string name;
  NetworkOptions options;
};

template <class Options = AdmOptions>
Options small() {
  Options options;
  options.channels = 32;
  options.channel_mult = {1, 2, 3};
  options.res_blocks = 1;
  options.attention_resolutions = {8};
  options.head_channels = 16;
  return options;
}

// Every option that changes what is kept.
std::vector<NetworkCase> network_cases() {
  std::vector<NetworkCase> cases;
  const auto add = [&]<class Options>(const std::string& name, Options options, const auto& change) {
    change(options);
    cases.push_back({name, options});
  };
  for_each_alternative<NetworkOptions>([&]<class Options>(const Options&) {
    if constexpr (std::derived_from<Options, UNetOptions>) {
      const std::string name(Options::kName);
      add(name, small<Options>(), [](auto&) {});
      add(name + ", no attention but the middle's", small<Options>(),
          [](auto& o) { o.attention_resolutions = {}; });
      add(name + ", dropout", small<Options>(), [](auto& o) { o.dropout = 0.5; });
      add(name + ", recomputed", small<Options>(), [](auto& o) { o.activation_checkpointing = true; });
      if (std::same_as<Options, Edm2Options>) return;  // which has no normalisation to condition
      add(name + ", time added", small<Options>(), [](auto& o) { o.scale_shift_norm = false; });
      add(name + ", double norm", small<Options>(),
          [](auto& o) { o.scale_shift_norm = o.double_norm = true; });
    }
  });
  add("edm2, double norm", small<Edm2Options>(), [](auto& o) { o.double_norm = true; });
  add("edm2, nothing cut", small<Edm2Options>(), [](auto& o) { o.clip.reset(); });
  add("edm2, dropout below", small<Edm2Options>(), [](auto& o) {
    o.dropout = 0.5;
    o.dropout_side = 8;
  });
  add("dit", test::small_dit(), [](auto&) {});
  add("dit, recomputed", test::small_dit(), [](auto& o) { o.activation_checkpointing = true; });
  add("dit, flow map", test::small_dit(), [](auto& o) { o.second_time = true; });
  add("dit, learned variance", test::small_dit(), [](auto& o) { o.learned_variance = true; });
  add("dit, other patches and layers", test::small_dit(), [](auto& o) {
    o.patch = 4;
    o.mlp_ratio = 2.5;
  });
  add("adm, strided convolutions", small(), [](auto& o) { o.resblock_updown = false; });
  add("adm, plain resampling", small(), [](auto& o) { o.resblock_updown = o.conv_resample = false; });
  return cases;
}

// Of one image: the difference between twice the batch and the batch.
PassMemory measured_image(const NetworkCase& network_case, torch::Dtype type, int64_t batch) {
  const auto network = make_network(network_case.options, kImage, 1);
  network->to(type);
  const bool dropout = common_options(network_case.options).dropout > 0;
  const PassMemory once = measured_network(*network, kImage, batch, dropout);
  const PassMemory twice = measured_network(*network, kImage, 2 * batch, dropout);
  const auto images = static_cast<double>(batch);
  return {.kept = (twice.kept - once.kept) / images,
          .training_peak = (twice.training_peak - once.training_peak) / images,
          .inference_peak = (twice.inference_peak - once.inference_peak) / images};
}

PassMemory computed_image(const NetworkOptions& options, Kernels kernels, int64_t bytes = 4) {
  return pass_memory(sizes_of(options, kImage, kernels).segments, bytes);
}

TEST(NetworkMemory, ParametersAreTheNetworks) {
  for (const auto& [name, options] : network_cases()) {
    EXPECT_EQ(sizes_of(options, kImage, Kernels::fused).parameters,
              parameter_count(*make_network(options, kImage)))
        << name;
  }
}

// What EDM2's code counts: for the latents of ImageNet-512 XS, S and XXL, for ImageNet-64 S and XL.
TEST(NetworkMemory, TheParametersOfEdm2sSizesAreThePublished) {
  const auto parameters = [](int64_t channels, int64_t image_channels) {
    Edm2Options options;
    options.channels = channels;
    return sizes_of(options, {.channels = image_channels, .size = 64, .classes = 1000}, Kernels::fused)
        .parameters;
  };
  EXPECT_EQ(parameters(128, 4), 124'713'125);
  EXPECT_EQ(parameters(192, 4), 280'212'709);
  EXPECT_EQ(parameters(448, 4), 1'523'164'645);
  EXPECT_EQ(parameters(192, 3), 280'209'253);
  EXPECT_EQ(parameters(384, 3), 1'119'276'709);
}

// What the published code counts, without its fixed positions: S/2 and XL/2 on latents of 32 pixels.
TEST(NetworkMemory, TheParametersOfDitsSizesAreThePublished) {
  const ImageSpec latents{.channels = 4, .size = 32, .classes = 1000};
  DitOptions options;
  options.learned_variance = true;
  EXPECT_EQ(sizes_of(options, latents, Kernels::fused).parameters, 32'865'056);
  options.width = 1152;
  options.depth = 28;
  options.heads = 16;
  EXPECT_EQ(sizes_of(options, latents, Kernels::fused).parameters, 674'834'720);
}

// With 4 images every convolution has enough to be computed in one way.
TEST(NetworkMemory, FusedKernelsKeepWhatIsMeasured) {
  for (const NetworkCase& network_case : network_cases()) {
    const PassMemory measured = measured_image(network_case, torch::kFloat32, 4);
    const PassMemory computed = computed_image(network_case.options, Kernels::fused);
    EXPECT_NEAR(computed.kept / measured.kept, 1, 0.001) << network_case.name;
    EXPECT_THAT(computed.training_peak / measured.training_peak, AllOf(Ge(0.98), Le(1.1)))
        << network_case.name;
    EXPECT_THAT(computed.inference_peak / measured.inference_peak, AllOf(Ge(0.9), Le(1.1)))
        << network_case.name;
  }
}

// Our kernels leave fp64 to LibTorch's operators; its numbers have 8 bytes. What its convolutions take there
// for unfolded images is no measure of a peak.
TEST(NetworkMemory, OperatorsKeepWhatIsMeasured) {
  for (const NetworkCase& network_case : network_cases()) {
    const PassMemory measured = measured_image(network_case, torch::kFloat64, 2);
    const PassMemory computed = computed_image(network_case.options, Kernels::operators);
    // The images themselves are kept, not a copy of them in another layout, unless more channels are put to
    // theirs, or they are cut into patches.
    const bool copied = std::holds_alternative<Edm2Options>(network_case.options) ||
                        std::holds_alternative<DitOptions>(network_case.options);
    const double images = copied ? 0 : 8 * kImage.channels * kImage.size * kImage.size;
    EXPECT_NEAR(2 * computed.kept / (measured.kept + images), 1, 0.001) << network_case.name;
  }
}

TEST(NetworkMemory, RecomputingTradesWhatIsKept) {
  AdmOptions options = small();
  const PassMemory whole = computed_image(options, Kernels::fused);
  options.activation_checkpointing = true;
  const PassMemory recomputed = computed_image(options, Kernels::fused);
  EXPECT_LT(recomputed.kept, 0.6 * whole.kept);
  EXPECT_LT(recomputed.training_peak, whole.training_peak);
  EXPECT_GT(recomputed.training_peak, recomputed.kept);
  EXPECT_EQ(recomputed.inference_peak, whole.inference_peak);
}

TEST(NetworkMemory, TheTrunkHalvesInTwoBytes) {
  const PassMemory whole = computed_image(small(), Kernels::fused, 4);
  const PassMemory half = computed_image(small(), Kernels::fused, 2);
  double fp32 = 0;
  for (const Segment& segment : sizes_of(small(), kImage, Kernels::fused).segments) {
    fp32 += 4 * (segment.input.fp32 + segment.inner.fp32);
  }
  EXPECT_DOUBLE_EQ(half.kept, fp32 + (whole.kept - fp32) / 2);
  EXPECT_LT(fp32, whole.kept / 5);
}

TEST(NetworkMemory, EverySkipConnectionEnds) {
  for (const auto& [name, options] : network_cases()) {
    int64_t open = 0;
    for (const Segment& segment : sizes_of(options, kImage, Kernels::fused).segments) {
      open += (segment.opened > 0 ? 1 : 0) - (segment.closed > 0 ? 1 : 0);
      EXPECT_GE(open, 0) << name;
    }
    EXPECT_EQ(open, 0) << name;
  }
}

TEST(NetworkMemory, RefusesANetworkThatDoesNotFit) {
  EXPECT_THAT(
      test::message_of<InputError>([] { sizes_of(small(), {.channels = 3, .size = 18}, Kernels::fused); }),
      HasSubstr("channel_mult has 3 levels, which halve a side of 18 pixels"));
}

}  // namespace
}  // namespace cm
