#include "src/bench/autoencoder_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

AutoencoderOptions least_autoencoder() {
  return {.channels = 1,
          .latent_channels = 1,
          .block_channels = {2},
          .blocks = 1,
          .groups = 1,
          .mid_attention = false,
          .quant_conv = false,
          .post_quant_conv = false};
}

// On 4 × 4 positions a 3 × 3 convolution of 2 channels to 2 takes 2 · 16 · 36 = 1152 operations.
TEST(AutoencoderFlops, AreThoseOfItsConvolutions) {
  AutoencoderOptions options = least_autoencoder();
  EXPECT_EQ(flops_of(options, 4).encode, 576 + 2 * 1152 + 4 * 1152 + 1152);
  EXPECT_EQ(flops_of(options, 4).decode, 576 + 4 * 1152 + 4 * 1152 + 576);
  options.block_channels = {2, 2};
  EXPECT_EQ(flops_of(options, 4).encode, 576 + 2 * 1152 + 7 * 288 + 288);
  EXPECT_EQ(flops_of(options, 4).decode, 144 + 8 * 288 + 1152 + 4 * 1152 + 576);
}

TEST(AutoencoderFlops, AreThoseOfItsAttentionToo) {
  AutoencoderOptions options = least_autoencoder();
  const AutoencoderFlops without = flops_of(options, 4);
  options.mid_attention = true;
  const double linear = 4 * 2 * 16 * 4;
  const double products = 2 * 2 * 16 * 16 * 2;
  EXPECT_EQ(flops_of(options, 4).encode - without.encode, linear + products);
  EXPECT_EQ(flops_of(options, 4).decode - without.decode, linear + products);
}

TEST(AutoencoderBench, EncodesAndDecodesACase) {
  BenchCase bench_case;
  bench_case.architecture = BenchArchitecture::autoencoder;
  bench_case.image_size = 16;
  bench_case.model_channels = 32;
  bench_case.channel_mult = {1, 2};
  bench_case.res_blocks = 1;
  bench_case.sample_batch = 2;
  const AutoencoderBench bench(bench_case, torch::kCPU);
  EXPECT_EQ(bench.encode().mean.sizes(), torch::IntArrayRef({2, 4, 8, 8}));
  const Tensor images = bench.decode();
  EXPECT_EQ(images.sizes(), torch::IntArrayRef({2, 16, 16, 3}));
  EXPECT_EQ(images.scalar_type(), torch::kUInt8);
  EXPECT_GT(images.max().item<int64_t>(), images.min().item<int64_t>());

  bench_case.image_size = 15;
  EXPECT_THAT(message_of<InputError>([&] { autoencoder_options_of(bench_case); }),
              HasSubstr("image_size must be a multiple of 2, got 15"));
  bench_case.architecture = BenchArchitecture::adm;
  EXPECT_THAT(message_of<InputError>([&] { autoencoder_options_of(bench_case); }),
              HasSubstr("only a case whose architecture is autoencoder encodes and decodes, got adm"));
}

}  // namespace
}  // namespace cm
