#include "cm/kernels/group_norm.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "cm/base/dual.h"
#include "fused_group_norm.h"
#include "kernel_input.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const NormInput& input, const NormParameters& norm, const Tensor& condition) {
  const Tensor& x = input.image.first;
  TORCH_CHECK(x.dim() >= 2, "group normalisation needs x [B, C, …], got ", x.sizes());
  if (const Tensor& more = input.image.second; more.defined()) {
    auto beside = x.sizes().vec();
    beside[1] = more.dim() == x.dim() ? more.size(1) : 0;
    TORCH_CHECK(
        more.sizes() == beside && more.scalar_type() == x.scalar_type() && more.device() == x.device(),
        "group normalisation of ", x.scalar_type(), " ", x.sizes(), " on ", x.device(), " beside ",
        more.scalar_type(), " ", more.sizes(), " on ", more.device());
  }
  const int64_t channels = input.image.channels();
  TORCH_CHECK(norm.groups > 0 && channels % norm.groups == 0, "group normalisation needs a multiple of ",
              norm.groups, " channels, got ", channels);
  for (const Tensor* parameter : {&norm.weight, &norm.bias}) {
    TORCH_CHECK(parameter->dim() == 1 && parameter->numel() == channels, "group normalisation of ", channels,
                " channels needs as many weights, got ", parameter->sizes());
  }
  TORCH_CHECK(!input.bias.defined() || input.bias.sizes() == torch::IntArrayRef{channels} ||
                  input.bias.sizes() == torch::IntArrayRef({x.size(0), channels}),
              "group normalisation of x ", x.sizes(), " plus a bias ", input.bias.sizes());
  TORCH_CHECK(!condition.defined() || condition.sizes() == torch::IntArrayRef({x.size(0), 2 * channels}),
              "group normalisation of x ", x.sizes(), " needs a condition ",
              torch::IntArrayRef({x.size(0), 2 * channels}), ", got ", condition.sizes());
}

NormInput input_of(const Tensor& first, const Tensor& second, const Tensor& bias) {
  return {Joined(first, second), bias};
}

bool wants_gradient(const Tensor& tensor) {
  return tensor.defined() && tensor.requires_grad();
}

// Those of plain_group_norm, with a graph of their own; `inputs` as FusedGroupNorm takes them. Each is taken
// under a name of its own, because one may have been made of another, whose gradient would go on through it.
variable_list differentiable_backward(const variable_list& inputs, const NormParameters& norm,
                                      Activation activation, const Tensor& dy) {
  variable_list own;
  std::vector<Tensor> wanted;
  for (const Tensor& input : inputs) {
    own.push_back(input.defined() ? input.view_as(input) : input);
    if (wants_gradient(input)) wanted.push_back(own.back());
  }
  const NormParameters parameters{norm.groups, norm.epsilon, own[2], own[3]};
  const Tensor y = plain_group_norm(input_of(own[0], own[1], own[5]), parameters, own[4], activation);
  const auto found = torch::autograd::grad({y}, wanted, {dy}, /*retain_graph=*/true, /*create_graph=*/true);
  variable_list gradients(inputs.size());
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (wants_gradient(inputs[i])) gradients[i] = found[next++];
  }
  return gradients;
}

struct FusedGroupNorm : torch::autograd::Function<FusedGroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& given_more,
                        const Tensor& weight, const Tensor& bias,
                        const std::optional<Tensor>& given_condition,
                        const std::optional<Tensor>& given_added, int64_t groups, double epsilon, bool silu) {
    const Tensor more = given_more.value_or(Tensor());
    const Tensor condition = given_condition.value_or(Tensor());
    const Tensor added = given_added.value_or(Tensor());
    const Activation activation = silu ? Activation::silu : Activation::none;
    const FusedGroupNormResult result =
        fused_forward(input_of(x, more, added), {groups, epsilon, weight, bias}, condition, activation);
    context->save_for_backward(
        {x, more, weight, bias, condition, added, result.mean, result.rstd, result.deviation});
    context->saved_data["groups"] = groups;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["silu"] = silu;
    return result.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const variable_list saved = context->get_saved_variables();
    const NormParameters norm = {.groups = context->saved_data["groups"].toInt(),
                                 .epsilon = context->saved_data["epsilon"].toDouble(),
                                 .weight = saved[2],
                                 .bias = saved[3]};
    const auto activation = context->saved_data["silu"].toBool() ? Activation::silu : Activation::none;
    variable_list all =
        counted(Kernel::group_norm_gradient, obstacle_to_gradient())
            ? differentiable_backward({saved.begin(), saved.begin() + 6}, norm, activation, dy[0])
            : in_order(fused_backward(input_of(saved[0], saved[1], saved[5]), norm, saved[4], activation,
                                      {Tensor(), saved[6], saved[7], saved[8]}, dy[0]));
    all.resize(9);  // nothing for groups, epsilon, silu
    return all;
  }

 private:
  static variable_list in_order(const GroupNormGradients& all) {
    return {all.x.first, all.x.second, all.weight, all.bias, all.condition, all.added};
  }
};

NormInput values_of(const NormInput& x) {
  return {each_of(x.image, value_of), value_of(x.bias)};
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

Tensor plain_group_norm(const NormInput& input, const NormParameters& norm, const Tensor& condition,
                        Activation activation) {
  check(input, norm, condition);
  const Tensor image = whole(input.image);
  const auto type = image.scalar_type();
  if (is_half(type)) {
    const NormInput precise(image.to(torch::kFloat32), input.bias);
    return plain_group_norm(precise, norm, condition, activation).to(type);
  }
  const Tensor x = sum_of({image, input.bias});
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

Tensor group_norm(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                  Activation activation) {
  check(x, norm, condition);
  const bool is_dual = has_tangent(x.image) || has_tangent(x.bias) || has_tangent(condition);
  if (is_dual && !has_tangent(norm.weight) && !has_tangent(norm.bias)) {
    const Tensor tangent = group_norm_tangent(x, norm, condition, activation);
    return dual(group_norm(values_of(x), norm, value_of(condition), activation), tangent);
  }
  if (counted(Kernel::group_norm, obstacle_to_fused_group_norm(x, norm, condition))) {
    return plain_group_norm(x, norm, condition, activation);
  }
  const auto& [first, second] = x.image;
  // For profilers.
  RECORD_FUNCTION("cm::group_norm", std::vector<c10::IValue>({first, norm.weight, norm.bias}));
  const auto inputs = {first, second, norm.weight, norm.bias, condition, x.bias};
  const bool recorded = torch::GradMode::is_enabled() && std::ranges::any_of(inputs, wants_gradient);
  if (!recorded) return fused_forward(x, norm, condition, activation).y;
  return FusedGroupNorm::apply(first, if_defined(second), norm.weight, norm.bias, if_defined(condition),
                               if_defined(x.bias), norm.groups, norm.epsilon, activation == Activation::silu);
}

Tensor group_norm_tangent(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                          Activation activation) {
  const torch::NoGradGuard no_graph;
  const NormInput value = values_of(x);
  const Tensor told = value_of(condition);
  check(value, norm, told);
  if (counted(Kernel::group_norm_tangent, obstacle_to_fused_tangent(value, norm, told))) {
    return tangent_of(plain_group_norm(x, norm, condition, activation));
  }
  RECORD_FUNCTION("cm::group_norm_tangent",
                  std::vector<c10::IValue>({value.image.first, norm.weight, norm.bias}));
  const NormInput dot(each_of(x.image, tangent_or_zeros), tangent_of(x.bias));
  return fused_tangent(value, norm, told, activation, dot, tangent_of(condition));
}

}  // namespace cm
