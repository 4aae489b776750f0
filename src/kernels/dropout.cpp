#include "cm/kernels/dropout.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cuda_call.h"
#include "dropout_cpu.h"
#include "dropout_cuda.h"
#include "kernel_input.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kPurpose = static_cast<uint32_t>(Purpose::dropout);

uint32_t threshold_of(double rate) {
  return static_cast<uint32_t>(std::lround(std::ldexp(rate, 24)));
}

std::optional<Obstacle> obstacle_to_dropout(const Tensor& x) {
  if (x.numel() == 0) return Obstacle::empty;
  if (const auto obstacle = obstacle_to_kernel(x, {})) return obstacle;
  if (!x.is_contiguous() && !is_channels_last(x)) return Obstacle::strides;
  return x.numel() / x.size(0) > std::numeric_limits<uint32_t>::max() ? std::optional(Obstacle::size)
                                                                      : std::nullopt;
}

Tensor by_kernel(const Tensor& x, const Tensor& keys, double rate, int64_t layer) {
  const DropoutMask mask{.keys = keys.const_data_ptr<int64_t>(),
                         .batch = x.size(0),
                         .channels = x.size(1),
                         .positions = x.numel() / (x.size(0) * x.size(1)),
                         .channels_last = is_channels_last(x),
                         .layer = static_cast<uint32_t>(layer),
                         .purpose = kPurpose,
                         .threshold = threshold_of(rate),
                         .scale = static_cast<float>(1 / (1 - rate))};
  Tensor y = at::empty_like(x);
  if (x.is_cpu()) {
    dropout_cpu::apply(mask, x.const_data_ptr<float>(), y.data_ptr<float>());
    return y;
  }
  const cuda::Call call(x.device());
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = dropout_cuda::apply(
        mask, {.type = cuda::number_of(x), .x = x.const_data_ptr(), .y = y.data_ptr()}, call.stream());
  }
  TORCH_CHECK(problem == nullptr, "dropout on a GPU failed: ", problem);
  return y;
}

struct Dropout : torch::autograd::Function<Dropout> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& keys, double rate,
                        int64_t layer) {
    context->save_for_backward({keys});
    context->saved_data["rate"] = rate;
    context->saved_data["layer"] = layer;
    return by_kernel(x, keys, rate, layer);
  }

  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const Tensor keys = context->get_saved_variables()[0];
    return {
        dropout(dy[0], keys, context->saved_data["rate"].toDouble(), context->saved_data["layer"].toInt()),
        {},
        {},
        {}};
  }
};

// Philox (cm/base/philox.h) of int64 tensors that hold words: a product of two words is one of 64 bits,
// whatever its sign.
std::array<Tensor, 4> philox_of(const Tensor& keys, std::array<Tensor, 4> c) {
  constexpr int64_t kWord = 0xffffffff;
  const auto high = [](const Tensor& x) { return x.bitwise_right_shift(32).bitwise_and(kWord); };
  const auto low = [](const Tensor& x) { return x.bitwise_and(kWord); };
  Tensor k0 = low(keys);
  Tensor k1 = high(keys);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const Tensor p0 = c[0] * int64_t{kPhiloxFactor0};
    const Tensor p1 = c[2] * int64_t{kPhiloxFactor1};
    c = {high(p1).bitwise_xor(c[1]).bitwise_xor(k0), low(p1), high(p0).bitwise_xor(c[3]).bitwise_xor(k1),
         low(p0)};
    k0 = low(k0 + int64_t{kPhiloxGrowth0});
    k1 = low(k1 + int64_t{kPhiloxGrowth1});
  }
  return c;
}

}  // namespace

Tensor plain_dropout(const Tensor& x, const Tensor& keys, double rate, int64_t layer) {
  if (x.numel() == 0) return x;
  const int64_t fours = (x.size(1) + 3) / 4;
  const int64_t positions = x.numel() / (x.size(0) * x.size(1));
  const Tensor key = keys.view({-1, 1});
  const Tensor counter = torch::arange(fours * positions, keys.options()).unsqueeze(0);
  const auto constant = [&](int64_t value) { return torch::full_like(counter, value); };
  const auto words = philox_of(key, {counter, constant(layer), constant(0), constant(kPurpose)});
  const Tensor of_channels = torch::stack(at::ArrayRef(words), 2)  // [B, fours · positions, 4]
                                 .view({-1, fours, positions, 4})
                                 .transpose(2, 3)
                                 .reshape({-1, 4 * fours, positions})
                                 .narrow(1, 0, x.size(1));
  const Tensor kept = of_channels.bitwise_right_shift(8).ge(static_cast<int64_t>(threshold_of(rate)));
  return x * kept.view(x.sizes()).to(x.scalar_type()) * (1 / (1 - rate));
}

Tensor dropout(const Tensor& any, const Tensor& keys, double rate, int64_t layer) {
  if (!keys.defined() || rate == 0) return any;
  return linear_map(any, [&](const Tensor& x) {
    TORCH_CHECK(x.dim() >= 2 && keys.dim() == 1 && keys.size(0) == x.size(0) && keys.is_contiguous(),
                "dropout of x [B, C, …] needs keys [B], got ", x.sizes(), " and ", keys.sizes());
    if (counted(Kernel::dropout, obstacle_to_dropout(x))) return plain_dropout(x, keys, rate, layer);
    RECORD_FUNCTION("cm::dropout", std::vector<c10::IValue>({x}));  // for profilers
    return Dropout::apply(x, keys, rate, layer);
  });
}

}  // namespace cm
