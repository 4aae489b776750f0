#include "cm/kernels/unit_rows.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "cm/base/dual.h"
#include "cuda_call.h"
#include "kernel_input.h"
#include "unit_rows_cpu.h"
#include "unit_rows_cuda.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::optional<Obstacle> obstacle_to_unit_rows(const Tensor& x, const Tensor& gain) {
  if (x.numel() == 0) return Obstacle::empty;
  if (const auto obstacle = obstacle_to_kernel(x, {gain})) return obstacle;
  return x.is_contiguous() ? std::nullopt : std::optional(Obstacle::strides);
}

unit_rows_cpu::Rows rows_on_cpu(const Tensor& x, const RowScale& scale, const Tensor& gain) {
  const double learned = gain.defined() ? gain.item<double>() : 1.0;
  return {.x = x.const_data_ptr<float>(),
          .count = x.size(0),
          .width = x.numel() / x.size(0),
          .length = static_cast<float>(scale.length * learned),
          .epsilon = static_cast<float>(scale.epsilon)};
}

unit_rows_cuda::Rows rows_on_gpu(const Tensor& x, const RowScale& scale, const Tensor& gain) {
  return {.type = cuda::number_of(x),
          .x = x.const_data_ptr(),
          .count = x.size(0),
          .width = x.numel() / x.size(0),
          .gain = floats_or_null(gain),
          .length = static_cast<float>(scale.length),
          .epsilon = static_cast<float>(scale.epsilon)};
}

void write_scaled(const Tensor& x, const RowScale& scale, const Tensor& gain, const Tensor& y) {
  if (x.is_cpu()) return unit_rows_cpu::forward(rows_on_cpu(x, scale, gain), y.data_ptr<float>());
  const cuda::Call call(x.device());
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = unit_rows_cuda::forward(rows_on_gpu(x, scale, gain), y.data_ptr(), call.stream());
  }
  TORCH_CHECK(problem == nullptr, "scaling rows on a GPU failed: ", problem);
}

struct RowGradients {
  Tensor x;
  Tensor gain;
};

RowGradients by_operators(const Tensor& x, const RowScale& scale, const Tensor& gain, const Tensor& dy) {
  std::vector<Tensor> wanted;
  for (const Tensor& input : {x, gain}) {
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  }
  auto found = torch::autograd::grad({plain_unit_rows(x, scale, gain)}, wanted, {dy}, /*retain_graph=*/true,
                                     /*create_graph=*/true);
  RowGradients gradients;
  if (x.requires_grad()) gradients.x = found.front();
  if (gain.defined() && gain.requires_grad()) gradients.gain = found.back();
  return gradients;
}

RowGradients by_kernel(const Tensor& x, const RowScale& scale, const Tensor& gain, const Tensor& any_dy) {
  const Tensor dy = any_dy.contiguous();
  RowGradients gradients{.x = at::empty_like(x), .gain = {}};
  const bool wants_gain = gain.defined() && gain.requires_grad();
  const Tensor of_rows = wants_gain ? at::empty({x.size(0)}, gain.options()) : Tensor();
  float* const of_row = writable_floats_or_null(of_rows);
  if (x.is_cpu()) {
    unit_rows_cpu::backward(rows_on_cpu(x, scale, gain), dy.const_data_ptr<float>(),
                            gradients.x.data_ptr<float>(), of_row);
    if (wants_gain) gradients.gain = of_rows.sum() * scale.length;
    return gradients;
  }
  const cuda::Call call(x.device());
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = unit_rows_cuda::backward(rows_on_gpu(x, scale, gain), dy.const_data_ptr(),
                                       gradients.x.data_ptr(), of_row, call.stream());
  }
  TORCH_CHECK(problem == nullptr, "the gradient of scaled rows on a GPU failed: ", problem);
  if (wants_gain) gradients.gain = of_rows.sum();
  return gradients;
}

// Of y = x c/d with c = length · gain and d = ‖x‖ + epsilon: c/d (ẋ − x ⟨x, ẋ⟩/(‖x‖ d)).
Tensor differential(const Tensor& x, const RowScale& scale, const Tensor& gain, const Tensor& tangent) {
  const auto precise = at::promote_types(x.scalar_type(), at::kFloat);
  const Tensor rows = x.flatten(1).to(precise);
  const Tensor rows_dot = tangent.flatten(1).to(precise);
  const Tensor norm = at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, /*keepdim=*/true);
  const Tensor divisor = norm + scale.epsilon;
  const Tensor along = (rows * rows_dot).sum(1, /*keepdim=*/true) /
                       (norm * divisor).clamp_min(std::numeric_limits<float>::min());
  Tensor factor = scale.length / divisor;
  if (gain.defined()) factor = factor * gain;
  return ((rows_dot - rows * along) * factor).to(x.scalar_type()).view(x.sizes());
}

struct UnitRows : torch::autograd::Function<UnitRows> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& given_gain,
                        double length, double epsilon) {
    const Tensor gain = given_gain.value_or(Tensor());
    context->save_for_backward({x, gain});
    context->saved_data["length"] = length;
    context->saved_data["epsilon"] = epsilon;
    Tensor y = at::empty_like(x);
    write_scaled(x, {.length = length, .epsilon = epsilon}, gain, y);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const variable_list saved = context->get_saved_variables();
    const RowScale scale = {.length = context->saved_data["length"].toDouble(),
                            .epsilon = context->saved_data["epsilon"].toDouble()};
    const auto gradients = counted(Kernel::unit_rows_gradient, obstacle_to_gradient())
                               ? by_operators(saved[0], scale, saved[1], dy[0])
                               : by_kernel(saved[0], scale, saved[1], dy[0]);
    return {gradients.x, gradients.gain, {}, {}};
  }
};

}  // namespace

Tensor plain_unit_rows(const Tensor& x, const RowScale& scale, const Tensor& gain) {
  const auto precise = at::promote_types(x.scalar_type(), at::kFloat);
  const Tensor rows = x.flatten(1);
  const Tensor norm = at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, /*keepdim=*/true, precise);
  const Tensor divisor = (norm + scale.epsilon) / scale.length;
  const Tensor y =
      gain.defined() ? rows * (gain / divisor).to(x.scalar_type()) : rows / divisor.to(x.scalar_type());
  return y.view(x.sizes());
}

Tensor unit_rows(const Tensor& any, const RowScale& scale, const Tensor& gain) {
  if (has_tangent(any)) {
    return with_differential(
        any, [&](const Tensor& x) { return unit_rows(x, scale, gain); },
        [&](const Tensor& tangent) { return differential(value_of(any), scale, gain, tangent); });
  }
  const Tensor& x = any;
  TORCH_CHECK(x.dim() >= 2, "rows are scaled of x [rows, …], got ", x.sizes());
  TORCH_CHECK(!gain.defined() || gain.numel() == 1, "the gain of rows is one number, got ", gain.sizes());
  if (counted(Kernel::unit_rows, obstacle_to_unit_rows(x, gain))) return plain_unit_rows(x, scale, gain);
  RECORD_FUNCTION("cm::unit_rows", std::vector<c10::IValue>({x}));  // for profilers
  const auto given_gain = gain.defined() ? std::optional(gain) : std::nullopt;
  return UnitRows::apply(x, given_gain, scale.length, scale.epsilon);
}

void scale_rows(const Tensor& x, const RowScale& scale) {
  const torch::NoGradGuard no_gradients;
  if (counted(Kernel::unit_rows, obstacle_to_unit_rows(x, {}))) {
    x.copy_(plain_unit_rows(x, scale));
    return;
  }
  RECORD_FUNCTION("cm::unit_rows", std::vector<c10::IValue>({x}));  // for profilers
  write_scaled(x, scale, {}, x);
  // So that autograd finds out when it had saved what is overwritten.
  x.unsafeGetTensorImpl()->bump_version();
}

}  // namespace cm
