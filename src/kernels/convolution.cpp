#include "cm/kernels/convolution.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include "cm/base/dual.h"
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

class Winograd : public torch::autograd::Function<Winograd> {
 public:
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const Variable& bias) {
    RECORD_FUNCTION("cm::convolution_3x3", std::vector<c10::IValue>({x, weight, bias}));  // for profilers
    context->save_for_backward({x, weight});
    const Tensor images = x.contiguous(kLast);
    Tensor y = empty_like_images(x, weight.size(0));
    winograd::convolve(shape_of(x, weight), images.const_data_ptr<float>(),
                       weight.contiguous().const_data_ptr<float>(), bias.contiguous().const_data_ptr<float>(),
                       y.mutable_data_ptr<float>());
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const std::array<bool, 3> wanted = {context->needs_input_grad(0), context->needs_input_grad(1),
                                        context->needs_input_grad(2)};
    if (counted(Kernel::convolution_3x3_gradient, obstacle_to_gradient())) {
      const auto [dx, dweight, dbias] =
          at::convolution_backward(gradients[0], x, weight, at::IntArrayRef{weight.size(0)}, {1, 1}, {1, 1},
                                   {1, 1}, false, {0, 0}, 1, wanted);
      return {dx, dweight, dbias};
    }
    const winograd::Shape shape = shape_of(x, weight);
    const Tensor dy = gradients[0].contiguous(kLast);
    variable_list found(3);
    if (wanted[0]) {
      found[0] = empty_like_images(x, shape.in);
      winograd::input_gradient(shape, dy.const_data_ptr<float>(), weight.contiguous().const_data_ptr<float>(),
                               found[0].mutable_data_ptr<float>());
    }
    if (wanted[1]) {
      found[1] = at::empty(weight.sizes(), weight.options());
      winograd::weight_gradient(shape, x.contiguous(kLast).const_data_ptr<float>(),
                                dy.const_data_ptr<float>(), found[1].mutable_data_ptr<float>());
    }
    if (wanted[2]) found[2] = dy.sum({0, 2, 3});
    return found;
  }
};

}  // namespace

std::optional<Obstacle> obstacle_to_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!x.is_cpu()) return Obstacle::device;
  if (!winograd::is_available()) return Obstacle::processor;
  if (const auto obstacle = obstacle_to_kernel(x, {weight, bias})) return obstacle;
  const winograd::Shape shape = shape_of(x, weight);
  if (shape.in % winograd::kLanes != 0 || shape.out % winograd::kLanes != 0) return Obstacle::channels;
  if (shape.height % 2 != 0 || shape.width % 2 != 0) return Obstacle::odd_side;
  if (shape.batch * shape.height * shape.width < 4 * kFewestTiles) return Obstacle::few_pixels;
  return std::nullopt;
}

Tensor in_convolution_layout(const Tensor& x) {
  const bool last =
      x.is_cuda() ? is_half(x.scalar_type()) : winograd::is_available() && !obstacle_to_kernel(x, {});
  return x.dim() == 4 && last ? x.contiguous(kLast) : x;
}

Tensor convolution_3x3(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  TORCH_CHECK(x.dim() == 4 && weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3 &&
                  x.size(1) == weight.size(1),
              "a 3×3 convolution of ", x.sizes(), " by ", weight.sizes());
  if (has_tangent(x) && !has_tangent(weight) && !has_tangent(bias)) {
    return affine_map(
        x, bias, [&](const Tensor& h, const Tensor& added) { return convolution_3x3(h, weight, added); });
  }
  if (counted(Kernel::convolution_3x3, obstacle_to_winograd(x, weight, bias))) {
    return torch::conv2d(x, weight, bias, 1, 1);
  }
  return Winograd::apply(x, weight, bias.defined() ? bias : at::zeros({weight.size(0)}, weight.options()));
}

}  // namespace cm
