#include "cm/kernels/group_norm.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "cm/base/dual.h"
#include "fused_group_norm.h"
#include "kernel_input.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Biased& biased, const NormParameters& norm, const Tensor& condition) {
  const Tensor& x = biased.image;
  TORCH_CHECK(x.dim() >= 2, "group normalisation needs x [B, C, …], got ", x.sizes());
  const int64_t channels = x.size(1);
  TORCH_CHECK(norm.groups > 0 && channels % norm.groups == 0, "group normalisation needs a multiple of ",
              norm.groups, " channels, got ", channels);
  for (const Tensor* parameter : {&norm.weight, &norm.bias}) {
    TORCH_CHECK(parameter->dim() == 1 && parameter->numel() == channels, "group normalisation of ", channels,
                " channels needs as many weights, got ", parameter->sizes());
  }
  TORCH_CHECK(!biased.bias.defined() || biased.bias.sizes() == torch::IntArrayRef{channels} ||
                  biased.bias.sizes() == torch::IntArrayRef({x.size(0), channels}),
              "group normalisation of x ", x.sizes(), " plus a bias ", biased.bias.sizes());
  TORCH_CHECK(!condition.defined() || condition.sizes() == torch::IntArrayRef({x.size(0), 2 * channels}),
              "group normalisation of x ", x.sizes(), " needs a condition ",
              torch::IntArrayRef({x.size(0), 2 * channels}), ", got ", condition.sizes());
}

// Those of plain_group_norm, with a graph of their own; `inputs` in the order of the gradients.
GroupNormGradients differentiable_backward(const variable_list& inputs, const NormParameters& norm,
                                           Activation activation, const Tensor& dy) {
  std::vector<Tensor> wanted;
  for (const Tensor& input : inputs) {
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  }
  const Tensor y = plain_group_norm({inputs[0], inputs[4]}, norm, inputs[3], activation);
  const auto found = torch::autograd::grad({y}, wanted, {dy}, /*retain_graph=*/true, /*create_graph=*/true);
  GroupNormGradients gradients;
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() && inputs[i].requires_grad()) gradients[i] = found[next++];
  }
  return gradients;
}

struct FusedGroupNorm : torch::autograd::Function<FusedGroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const std::optional<Tensor>& given_condition,
                        const std::optional<Tensor>& given_added, int64_t groups, double epsilon, bool silu) {
    const Tensor condition = given_condition.value_or(Tensor());
    const Tensor added = given_added.value_or(Tensor());
    const Activation activation = silu ? Activation::silu : Activation::none;
    const FusedGroupNormResult result =
        fused_forward({x, added}, {groups, epsilon, weight, bias}, condition, activation);
    context->save_for_backward(
        {x, weight, bias, condition, added, result.mean, result.rstd, result.deviation});
    context->saved_data["groups"] = groups;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["silu"] = silu;
    return result.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const variable_list saved = context->get_saved_variables();
    const NormParameters norm = {.groups = context->saved_data["groups"].toInt(),
                                 .epsilon = context->saved_data["epsilon"].toDouble(),
                                 .weight = saved[1],
                                 .bias = saved[2]};
    const auto activation = context->saved_data["silu"].toBool() ? Activation::silu : Activation::none;
    const GroupNormGradients gradients =
        counted(Kernel::group_norm_gradient, obstacle_to_gradient())
            ? differentiable_backward({saved.begin(), saved.begin() + 5}, norm, activation, dy[0])
            : fused_backward({saved[0], saved[4]}, norm, saved[3], activation,
                             {Tensor(), saved[5], saved[6], saved[7]}, dy[0]);
    variable_list all(gradients.begin(), gradients.end());
    all.resize(8);  // nothing for groups, epsilon, silu
    return all;
  }
};

bool wants_gradient(const Tensor& tensor) {
  return tensor.defined() && tensor.requires_grad();
}

}  // namespace

Tensor activated(const Tensor& h, Activation activation) {
  switch (activation) {
    case Activation::none:
      return h;
    case Activation::silu:
      return with_differential(
          h, [](const Tensor& value) { return torch::silu(value); },
          [&](const Tensor& tangent) { return at::silu_backward(tangent, h.detach()); });
  }
  return h;
}

Tensor plain_group_norm(const Biased& biased, const NormParameters& norm, const Tensor& condition,
                        Activation activation) {
  check(biased, norm, condition);
  const auto type = biased.image.scalar_type();
  if (is_half(type)) {
    const Biased whole(biased.image.to(torch::kFloat32), biased.bias);
    return plain_group_norm(whole, norm, condition, activation).to(type);
  }
  const Tensor x = sum_of(biased);
  // LibTorch's forward mode takes no other layout.
  const Tensor taken =
      has_tangent(x) || has_tangent(norm.weight) || has_tangent(norm.bias) ? x.contiguous() : x;
  Tensor h = torch::group_norm(taken, norm.groups, norm.weight, norm.bias, norm.epsilon);
  if (condition.defined()) {
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape[0] = x.size(0);
    shape[1] = 2 * x.size(1);
    const auto scale_shift = condition.reshape(shape).chunk(2, 1);
    h = torch::addcmul(scale_shift[1], h, 1 + scale_shift[0]);
  }
  return activated(h, activation);
}

Tensor group_norm(const Biased& x, const NormParameters& norm, const Tensor& condition,
                  Activation activation) {
  check(x, norm, condition);
  const bool is_dual = has_tangent(x.image) || has_tangent(x.bias) || has_tangent(condition);
  if (is_dual && !has_tangent(norm.weight) && !has_tangent(norm.bias)) {
    const Tensor tangent = group_norm_tangent(x, norm, condition, activation);
    const Biased value(value_of(x.image), value_of(x.bias));
    return dual(group_norm(value, norm, value_of(condition), activation), tangent);
  }
  if (counted(Kernel::group_norm, obstacle_to_fused_group_norm(x, norm, condition))) {
    return plain_group_norm(x, norm, condition, activation);
  }
  // For profilers.
  RECORD_FUNCTION("cm::group_norm", std::vector<c10::IValue>({x.image, norm.weight, norm.bias}));
  const bool recorded = torch::GradMode::is_enabled() &&
                        (wants_gradient(x.image) || wants_gradient(x.bias) || wants_gradient(norm.weight) ||
                         wants_gradient(norm.bias) || wants_gradient(condition));
  if (!recorded) return fused_forward(x, norm, condition, activation).y;
  return FusedGroupNorm::apply(x.image, norm.weight, norm.bias, if_defined(condition), if_defined(x.bias),
                               norm.groups, norm.epsilon, activation == Activation::silu);
}

Tensor group_norm_tangent(const Biased& x, const NormParameters& norm, const Tensor& condition,
                          Activation activation) {
  const torch::NoGradGuard no_graph;
  const Biased value(value_of(x.image), value_of(x.bias));
  const Tensor told = value_of(condition);
  check(value, norm, told);
  if (counted(Kernel::group_norm_tangent, obstacle_to_fused_tangent(value, norm, told))) {
    return tangent_of(plain_group_norm(x, norm, condition, activation));
  }
  RECORD_FUNCTION("cm::group_norm_tangent", std::vector<c10::IValue>({value.image, norm.weight, norm.bias}));
  const Tensor image_dot = has_tangent(x.image) ? tangent_of(x.image) : torch::zeros_like(value.image);
  return fused_tangent(value, norm, told, activation, {image_dot, tangent_of(x.bias)}, tangent_of(condition));
}

}  // namespace cm
