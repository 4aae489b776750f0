#include "src/bench/network_walk.h"

#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include "cm/base/tensor.h"
#include "support/small_dit.h"

namespace cm {
namespace {

double operations = 0;

double product(at::IntArrayRef sizes) {
  double result = 1;
  for (const int64_t size : sizes) result *= static_cast<double>(size);
  return result;
}

// What an operator does by the shapes of its inputs: a convolution (stride 1, padded to the same size), a
// linear layer, a product of batched matrices.
std::unique_ptr<at::ObserverContext> count(const at::RecordFunction& function) {
  const std::string name = function.name();
  const auto sizes = [&](size_t i) { return function.inputs()[i].toTensor().sizes(); };
  if (name == "aten::convolution" || name == "cm::convolution_3x3") {
    const auto x = sizes(0);
    operations += 2 * static_cast<double>(x[0] * x[2] * x[3]) * product(sizes(1));
  } else if (name == "aten::addmm" || name == "aten::addmm_") {
    operations += 2 * product(sizes(1)) * static_cast<double>(sizes(2)[1]);
  } else if (name == "aten::mm") {
    operations += 2 * product(sizes(0)) * static_cast<double>(sizes(1)[1]);
  } else if (name == "aten::bmm") {
    operations += 2 * product(sizes(0)) * static_cast<double>(sizes(1)[2]);
  } else if (name == "aten::_scaled_dot_product_flash_attention_for_cpu") {
    operations += 4 * product(sizes(0)) * static_cast<double>(sizes(1)[2]);
  }
  return nullptr;
}

double operations_of(Network& network, const ImageSpec& image) {
  const Tensor x = torch::zeros({1, image.channels, image.size, image.size});
  const Tensor labels = image.classes > 0 ? torch::zeros({1}, torch::kInt64) : Tensor();
  operations = 0;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(count).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  no_grad([&] { return network.forward(x, {torch::zeros({1}), labels}); });
  at::removeCallback(handle);
  return operations;
}

template <class Options>
Options flops_network() {
  Options options;
  options.channels = 32;
  options.channel_mult = {1, 2, 3};
  options.attention_resolutions = {8, 4};
  options.head_channels = 16;
  return options;
}

constexpr ImageSpec kFlopsImage{.channels = 3, .size = 16, .classes = 5};

double computed(const NetworkOptions& options) {
  return sizes_of(options, kFlopsImage, Kernels::fused).flops;
}

TEST(NetworkFlops, AreThoseOfAForwardPass) {
  for (const bool updown : {true, false}) {
    for (const bool film : {true, false}) {
      auto options = flops_network<AdmOptions>();
      options.resblock_updown = updown;
      options.scale_shift_norm = film;
      // A strided convolution does a quarter of what `count` says.
      double counted = operations_of(*make_network(options, kFlopsImage, 0), kFlopsImage);
      if (!updown) counted -= 0.75 * 2 * 9 * (16 * 16 * 32. * 32 + 8 * 8 * 64. * 64);
      EXPECT_DOUBLE_EQ(computed(options), counted) << updown << film;
    }
  }
  for (const NetworkOptions& options :
       {NetworkOptions(flops_network<DdpmppOptions>()), NetworkOptions(flops_network<Edm2Options>()),
        NetworkOptions(test::small_dit())}) {
    EXPECT_DOUBLE_EQ(computed(options), operations_of(*make_network(options, kFlopsImage, 0), kFlopsImage));
  }
}

}  // namespace
}  // namespace cm
