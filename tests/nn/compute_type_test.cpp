#include "cm/nn/compute_type.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "cm/base/gpus.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/small_dit.h"
#include "support/small_unet.h"

namespace cm {
namespace {

constexpr ImageSpec kImage{.channels = 3, .size = 8, .classes = 5};

struct NetworkCase {
  const char* name;
  NetworkOptions options;
};

template <class Options = AdmOptions>
Options small() {
  auto options = test::small_unet<Options>();
  options.dropout = 0.25;
  return options;
}

// Every architecture, and every way that a condition enters a normalisation.
std::vector<NetworkCase> network_cases() {
  AdmOptions added = small();
  added.scale_shift_norm = false;
  AdmOptions doubled = small();
  doubled.double_norm = true;
  Edm2Options doubled_edm2 = small<Edm2Options>();
  doubled_edm2.double_norm = true;
  AdmOptions checkpointed = small();
  checkpointed.activation_checkpointing = true;
  return {{"adm", small()},
          {"ddpmpp", small<DdpmppOptions>()},
          {"ncsnpp", small<NcsnppOptions>()},
          {"edm2", small<Edm2Options>()},
          {"dit", test::small_dit()},
          {"added condition", added},
          {"double norm", doubled},
          {"edm2, double norm", doubled_edm2},
          {"recomputed blocks", checkpointed}};
}

// With no weight at its initial 0.
std::shared_ptr<Network> network_of(const NetworkOptions& options) {
  auto network = make_network(options, kImage, 5);
  const torch::NoGradGuard guard;
  uint32_t i = 0;
  for (auto& parameter : network->parameters()) {
    const RandomKey key{.seed = 6, .step = i++};
    parameter.add_(0.05 * normal(key, {0}, {parameter.numel()}).view(parameter.sizes()));
  }
  return network;
}

Tensor output_of(Network& network) {
  return network.forward(normal({.seed = 1}, sample_range(0, 4), {3, 8, 8}),
                         {torch::linspace(-1, 1, 4), torch::arange(4)}, test::dropout_keys(9, 4));
}

Tensor gradient_of(Network& network) {
  for (auto& parameter : network.parameters()) parameter.mutable_grad() = Tensor();
  output_of(network).square().mean().backward();
  std::vector<Tensor> flat;
  for (const auto& parameter : network.parameters()) {
    EXPECT_EQ(parameter.grad().scalar_type(), torch::kFloat32);
    flat.push_back(parameter.grad().flatten());
  }
  return torch::cat(flat);
}

// Relative distance of two types' numbers: 8 and 11 bits of mantissa, through some ten layers.
double closeness_of(ComputeType type) {
  return type == ComputeType::bf16 ? 3e-2 : 4e-3;
}

double distance(const Tensor& a, const Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

TEST(ComputeType, HalfPrecisionIsFp32ToItsRounding) {
  for (const auto& [name, options] : network_cases()) {
    const auto network = network_of(options);
    const Tensor y = output_of(*network);
    const Tensor gradient = gradient_of(*network);
    for (const auto type : {ComputeType::bf16, ComputeType::fp16}) {
      SCOPED_TRACE(testing::Message() << name << ' ' << to_string(type));
      network->compute_in(type);
      const Tensor half = output_of(*network);
      EXPECT_EQ(half.scalar_type(), torch::kFloat32);
      EXPECT_LT(distance(half, y), closeness_of(type));
      EXPECT_GT(distance(half, y), 1e-5);  // it is computed in it
      EXPECT_LT(distance(gradient_of(*network), gradient), 2 * closeness_of(type));
    }
    network->compute_in(ComputeType::fp32);
    EXPECT_TRUE(torch::equal(output_of(*network), y)) << name;
  }
}

TEST(ComputeType, WeightsHeldInItGiveTheSameImages) {
  for (const auto& [name, options] : network_cases()) {
    for (const auto type : {ComputeType::bf16, ComputeType::fp16}) {
      SCOPED_TRACE(testing::Message() << name << ' ' << to_string(type));
      const auto network = network_of(options);
      const torch::NoGradGuard guard;
      network->compute_in(type);
      const Tensor cast = output_of(*network);
      network->hold_in_compute_type();
      EXPECT_TRUE(torch::equal(output_of(*network), cast));
    }
  }
}

TEST(ComputeType, HoldsTheTrunksConvolutionsAlone) {
  const auto network = network_of(small());
  network->compute_in(ComputeType::bf16);
  network->hold_in_compute_type();
  int64_t held = 0;
  for (const auto& parameter : network->named_parameters()) {
    const bool last = parameter.key().starts_with("out.");
    const bool convolution = parameter.value().dim() == 4 && !last;
    held += convolution ? 1 : 0;
    if (parameter.value().dim() == 4 || last) {
      EXPECT_EQ(parameter.value().scalar_type(), convolution ? torch::kBFloat16 : torch::kFloat32)
          << parameter.key();
    }
    if (parameter.key().find("emb") != std::string::npos) {
      EXPECT_EQ(parameter.value().scalar_type(), torch::kFloat32) << parameter.key();
    }
  }
  EXPECT_GT(held, 10);
}

TEST(ComputeType, InFp32NothingIsHeldOtherwise) {
  for (const auto type : {ComputeType::fp32, ComputeType::tf32}) {
    const auto network = network_of(small());
    network->compute_in(type);
    network->hold_in_compute_type();
    for (const auto& parameter : network->parameters()) EXPECT_EQ(parameter.scalar_type(), torch::kFloat32);
  }
}

TEST(ComputeType, OnlyGpusHaveTf32) {
  EXPECT_FALSE(has_tf32(torch::kCPU));
  EXPECT_EQ(has_tf32(torch::Device(torch::kCUDA, 0)),
            !gpus().generations.empty() && gpus().generations.front() >= 8);
  EXPECT_FALSE(has_tf32(torch::Device(torch::kCUDA, 99)));
}

TEST(ComputeType, Tf32IsASwitchOfTheProcess) {
  for (const auto type : {ComputeType::tf32, ComputeType::bf16, ComputeType::fp16, ComputeType::fp32}) {
    allow_tf32(type);
    EXPECT_EQ(at::globalContext().allowTF32CuBLAS(), type == ComputeType::tf32) << to_string(type);
    EXPECT_EQ(at::globalContext().allowTF32CuDNN(), type != ComputeType::fp32) << to_string(type);
  }
}

}  // namespace
}  // namespace cm
