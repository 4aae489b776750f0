#include "cm/kernels/residual_sum.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "cm/base/dual.h"
#include "cuda_call.h"
#include "kernel_input.h"
#include "residual_sum_cpu.h"
#include "residual_sum_cuda.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& kept, const Biased& branch) {
  TORCH_CHECK(kept.dim() >= 2 && kept.sizes() == branch.image.sizes(), "a residual sum of ", kept.sizes(),
              " and ", branch.image.sizes());
  TORCH_CHECK(!branch.bias.defined() || branch.bias.sizes() == at::IntArrayRef{kept.size(1)},
              "a residual sum of ", kept.size(1), " channels and a bias ", branch.bias.sizes());
}

std::optional<Obstacle> obstacle_to_residual_sum(const Tensor& kept, const Biased& branch) {
  const Tensor& image = branch.image;
  if (image.numel() == 0) return Obstacle::empty;
  if (const auto obstacle = obstacle_to_kernel(image, {branch.bias})) return obstacle;
  if (kept.device() != image.device()) return Obstacle::device;
  if (kept.scalar_type() != image.scalar_type()) return Obstacle::type;
  if (!image.is_contiguous() && !is_channels_last(image)) return Obstacle::strides;
  return image.numel() > std::numeric_limits<int32_t>::max() ? std::optional(Obstacle::size) : std::nullopt;
}

template <class X>
ResidualImages<X> images_of(const Tensor& kept, const Biased& branch, double factor, const Tensor& y) {
  return {.batch = y.size(0),
          .channels = y.size(1),
          .positions = y.numel() / (y.size(0) * y.size(1)),
          .channels_last = is_channels_last(y),
          .kept = static_cast<const X*>(kept.const_data_ptr()),
          .image = static_cast<const X*>(branch.image.const_data_ptr()),
          .bias = floats_or_null(branch.bias),
          .factor = static_cast<float>(factor),
          .y = static_cast<X*>(y.data_ptr())};
}

Tensor by_kernel(const Tensor& any_kept, const Biased& any, double factor) {
  const Tensor& image = any.image;
  const Biased branch(image, any.bias.defined() ? any.bias.contiguous() : any.bias);
  const Tensor kept = any_kept.contiguous(is_channels_last(image) ? at::MemoryFormat::ChannelsLast
                                                                  : at::MemoryFormat::Contiguous);
  Tensor y = at::empty_like(image);
  if (image.is_cpu()) {
    residual_sum_cpu::write(images_of<float>(kept, branch, factor, y));
    return y;
  }
  const cuda::Call call(image.device());
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = residual_sum_cuda::write(images_of<void>(kept, branch, factor, y), cuda::number_of(image),
                                       call.stream());
  }
  TORCH_CHECK(problem == nullptr, "a residual sum on a GPU failed: ", problem);
  return y;
}

// Of the channels, in fp32.
Tensor sum_over_images(const Tensor& dy) {
  std::vector<int64_t> dims = {0};
  for (int64_t i = 2; i < dy.dim(); ++i) dims.push_back(i);
  return dy.sum(dims, /*keepdim=*/false, torch::kFloat32);
}

struct ResidualSum : torch::autograd::Function<ResidualSum> {
  static Tensor forward(AutogradContext* context, const Tensor& kept, const Tensor& image,
                        const std::optional<Tensor>& bias, double factor) {
    context->saved_data["factor"] = factor;
    context->saved_data["biased"] = bias.has_value();
    return by_kernel(kept, {image, bias.value_or(Tensor())}, factor);
  }

  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const double factor = context->saved_data["factor"].toDouble();
    const Tensor of_sum = scaled_by(dy[0], factor);
    const bool wants_bias = context->saved_data["biased"].toBool() && context->needs_input_grad(2);
    return {of_sum, of_sum, wants_bias ? sum_over_images(of_sum) : Tensor(), {}};
  }
};

}  // namespace

Tensor plain_residual_sum(const Tensor& kept, const Biased& branch, double factor) {
  return scaled_by(kept + sum_of(branch), factor);
}

Tensor residual_sum(const Tensor& kept, const Biased& branch, double factor) {
  check(kept, branch);
  if ((has_tangent(kept) || has_tangent(branch.image)) && !has_tangent(branch.bias)) {
    const Tensor value = residual_sum(value_of(kept), {value_of(branch.image), branch.bias}, factor);
    const Tensor tangent = no_grad([&] {
      if (!has_tangent(kept)) return tangent_of(branch.image) * factor;
      if (!has_tangent(branch.image)) return tangent_of(kept) * factor;
      return residual_sum(tangent_of(kept), tangent_of(branch.image), factor);
    });
    return dual(value, tangent);
  }
  if (counted(Kernel::residual_sum, obstacle_to_residual_sum(kept, branch))) {
    return plain_residual_sum(kept, branch, factor);
  }
  RECORD_FUNCTION("cm::residual_sum", std::vector<c10::IValue>({kept, branch.image}));  // for profilers
  return ResidualSum::apply(kept, branch.image, if_defined(branch.bias), factor);
}

}  // namespace cm
