#include "cm/kernels/convolution.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include "cm/base/dual.h"
#include "cm/kernels/residual_sum.h"
#include "kernel_input.h"
#include "winograd.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

constexpr auto kLast = at::MemoryFormat::ChannelsLast;
constexpr int64_t kFewestTiles = 16;  // with fewer the transform of the weights costs more than is saved

winograd::Shape shape_of(const Tensor& x, const Tensor& weight) {
  return {.batch = x.size(0),
          .height = x.size(2),
          .width = x.size(3),
          .in = weight.size(1),
          .out = weight.size(0)};
}

Tensor empty_like_images(const Tensor& x, int64_t channels) {
  return at::empty({x.size(0), channels, x.size(2), x.size(3)}, x.options().memory_format(kLast));
}

Tensor contiguous_or_none(const std::optional<Tensor>& x, at::MemoryFormat format) {
  return x ? x->contiguous(format) : Tensor();
}

// (kept + convolution + bias) · factor, of which bias and kept may be missing.
class Winograd : public torch::autograd::Function<Winograd> {
 public:
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const std::optional<Variable>& any_bias, const std::optional<Variable>& any_kept,
                          double factor) {
    RECORD_FUNCTION("cm::convolution_3x3", std::vector<c10::IValue>({x, weight}));  // for profilers
    context->save_for_backward({x, weight});
    context->saved_data["factor"] = factor;
    context->saved_data["biased"] = any_bias.has_value();
    context->saved_data["keeps"] = any_kept.has_value();
    const Tensor images = x.contiguous(kLast);
    const Tensor bias = contiguous_or_none(any_bias, at::MemoryFormat::Contiguous);
    const Tensor kept = contiguous_or_none(any_kept, kLast);
    Tensor y = empty_like_images(x, weight.size(0));
    winograd::convolve(
        shape_of(x, weight), images.const_data_ptr<float>(), weight.contiguous().const_data_ptr<float>(),
        {.bias = floats_or_null(bias), .kept = floats_or_null(kept), .factor = static_cast<float>(factor)},
        y.mutable_data_ptr<float>());
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const double factor = context->saved_data["factor"].toDouble();
    const Tensor of_sum = scaled_by(gradients[0], factor);
    const auto saved = context->get_saved_variables();
    const bool wants_bias = context->saved_data["biased"].toBool() && context->needs_input_grad(2);
    variable_list found = of_convolution(
        saved[0], saved[1], of_sum, {context->needs_input_grad(0), context->needs_input_grad(1), wants_bias});
    found.push_back(context->saved_data["keeps"].toBool() ? of_sum : Tensor());
    found.emplace_back();  // nothing for factor
    return found;
  }

 private:
  // Of x, weight and bias.
  static variable_list of_convolution(const Tensor& x, const Tensor& weight, const Tensor& any_dy,
                                      const std::array<bool, 3>& wanted) {
    if (counted(Kernel::convolution_3x3_gradient, obstacle_to_gradient())) {
      const auto [dx, dweight, dbias] =
          at::convolution_backward(any_dy, x, weight, at::IntArrayRef{weight.size(0)}, {1, 1}, {1, 1}, {1, 1},
                                   false, {0, 0}, 1, wanted);
      return {dx, dweight, dbias};
    }
    const winograd::Shape shape = shape_of(x, weight);
    const Tensor dy = any_dy.contiguous(kLast);
    variable_list found(3);
    if (wanted[0]) {
      found[0] = empty_like_images(x, shape.in);
      winograd::input_gradient(shape, dy.const_data_ptr<float>(), weight.contiguous().const_data_ptr<float>(),
                               found[0].mutable_data_ptr<float>());
    }
    if (wanted[1]) {
      found[1] = at::empty(weight.sizes(), weight.options());
      if (wanted[2]) found[2] = at::empty({shape.out}, weight.options());
      winograd::weight_gradient(shape, x.contiguous(kLast).const_data_ptr<float>(),
                                dy.const_data_ptr<float>(), found[1].mutable_data_ptr<float>(),
                                wanted[2] ? found[2].mutable_data_ptr<float>() : nullptr);
    } else if (wanted[2]) {
      found[2] = dy.sum({0, 2, 3});
    }
    return found;
  }
};

bool prefers_channels_last(const Tensor& x, torch::Dtype type) {
  if (x.is_cuda()) {
    return is_half(type) || (type == torch::kFloat32 && at::globalContext().allowTF32CuDNN());
  }
  return type == torch::kFloat32 && winograd::is_available() && !obstacle_to_kernel(x, {});
}

struct WeightCast : torch::autograd::Function<WeightCast> {
  static Tensor forward(AutogradContext* context, const Tensor& weight, torch::Dtype type) {
    context->saved_data["own"] = static_cast<int64_t>(weight.scalar_type());
    const auto format = prefers_channels_last(weight, type) ? kLast : at::MemoryFormat::Contiguous;
    return in(type, format, weight);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto own = static_cast<torch::Dtype>(context->saved_data["own"].toInt());
    return {in(own, at::MemoryFormat::Contiguous, gradients[0]), {}};
  }

 private:
  static Tensor in(torch::Dtype type, at::MemoryFormat format, const Tensor& x) {
    return at::empty(x.sizes(), x.options().dtype(type).memory_format(format)).copy_(x);
  }
};

// Whether a 1×1 convolution is best a product of matrices. On a CPU in fp32 it is not: on AMD's processors
// oneDNN's convolution is faster than MKL's product (docs/performance.md).
bool is_best_multiplied(const Tensor& x) {
  return is_channels_last(x) && !(x.is_cpu() && x.scalar_type() == torch::kFloat32);
}

// A pixel each.
Tensor rows_of(const Tensor& x) {
  return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
}

// Back again, of as many pixels as `like` has.
Tensor image_of(const Tensor& rows, const Tensor& like) {
  return rows.view({like.size(0), like.size(2), like.size(3), -1}).permute({0, 3, 1, 2});
}

// The second is added in place to the first, as the product of matrices where there is one.
Tensor sum_of_1x1(const Joined& x, const Tensor& weight, const Tensor& bias) {
  const auto& [first, second] = x;
  const auto parts = weight.flatten(1).split_with_sizes({first.size(1), second.size(1)}, 1);
  if (!is_best_multiplied(first) || !is_best_multiplied(second)) {
    const auto convolved = [](const Tensor& image, const Tensor& part, const Tensor& added) {
      return torch::conv2d(image, part.unsqueeze(2).unsqueeze(3), added);
    };
    return convolved(first, parts[0], bias).add_(convolved(second, parts[1], {}));
  }
  Tensor rows = torch::linear(rows_of(first), parts[0], bias);
  return image_of(rows.addmm_(rows_of(second), parts[1].t()), first);
}

void check_3x3(const Tensor& x, const Tensor& weight) {
  TORCH_CHECK(x.dim() == 4 && weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3 &&
                  x.size(1) == weight.size(1),
              "a 3×3 convolution of ", x.sizes(), " by ", weight.sizes());
}

}  // namespace

std::optional<Obstacle> obstacle_to_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                             const Tensor& kept) {
  if (!x.is_cpu()) return Obstacle::device;
  if (!winograd::is_available()) return Obstacle::processor;
  if (const auto obstacle = obstacle_to_kernel(x, {weight, bias, kept})) return obstacle;
  const winograd::Shape shape = shape_of(x, weight);
  if (shape.in % winograd::kLanes != 0 || shape.out % winograd::kLanes != 0) return Obstacle::channels;
  if (shape.height % 2 != 0 || shape.width % 2 != 0) return Obstacle::odd_side;
  if (shape.batch * shape.height * shape.width < 4 * kFewestTiles) return Obstacle::few_pixels;
  return std::nullopt;
}

Tensor in_convolution_layout(const Tensor& x) {
  return x.dim() == 4 && prefers_channels_last(x, x.scalar_type()) ? x.contiguous(kLast) : x;
}

Tensor weight_in(torch::Dtype type, const Tensor& weight) {
  return weight.scalar_type() == type ? weight : WeightCast::apply(weight, type);
}

Tensor convolution_3x3(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_3x3(x, weight);
  if (has_tangent(x) && !has_tangent(weight) && !has_tangent(bias)) {
    return affine_map(
        x, bias, [&](const Tensor& h, const Tensor& added) { return convolution_3x3(h, weight, added); });
  }
  if (counted(Kernel::convolution_3x3, obstacle_to_winograd(x, weight, bias))) {
    return torch::conv2d(x, weight, bias, 1, 1);
  }
  return Winograd::apply(x, weight, if_defined(bias), std::nullopt, 1.0);
}

Tensor residual_convolution_3x3(const Tensor& kept, const Tensor& x, const Tensor& weight, const Tensor& bias,
                                double factor) {
  check_3x3(x, weight);
  if (has_tangent(x) && has_tangent(kept) && !has_tangent(weight) && !has_tangent(bias)) {
    const Tensor tangent = no_grad(
        [&] { return residual_convolution_3x3(tangent_of(kept), tangent_of(x), weight, {}, factor); });
    return dual(residual_convolution_3x3(value_of(kept), value_of(x), weight, bias, factor), tangent);
  }
  if (has_tangent(x) || has_tangent(kept)) {
    return residual_sum(kept, {convolution_3x3(x, weight, {}), bias}, factor);
  }
  if (counted(Kernel::convolution_3x3, obstacle_to_winograd(x, weight, bias, kept))) {
    return residual_sum(kept, {torch::conv2d(x, weight, {}, 1, 1), bias}, factor);
  }
  return Winograd::apply(x, weight, if_defined(bias), kept, factor);
}

Tensor convolution_1x1(const Joined& x, const Tensor& weight, const Tensor& bias) {
  const auto& [first, second] = x;
  TORCH_CHECK(first.dim() == 4 && weight.dim() == 4 && weight.size(2) == 1 && weight.size(3) == 1 &&
                  x.channels() == weight.size(1),
              "a 1×1 convolution of ", x.channels(), " channels, ", first.sizes(), ", by ", weight.sizes());
  if (second.defined()) {
    if (!has_tangent(x)) return sum_of_1x1(x, weight, bias);
    const Tensor tangent = no_grad([&] { return sum_of_1x1(each_of(x, tangent_or_zeros), weight, {}); });
    return dual(sum_of_1x1(each_of(x, value_of), weight, bias), tangent);
  }
  return affine_map(first, bias, [&](const Tensor& h, const Tensor& added) {
    if (!is_best_multiplied(h)) return torch::conv2d(h, weight, added);
    return image_of(torch::linear(rows_of(h), weight.flatten(1), added), h);
  });
}

}  // namespace cm
