#include "cm/kernels/group_norm.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>

#include "group_norm_cpu.h"
#include "kernel_input.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& x, const NormParameters& norm, const Tensor& condition) {
  TORCH_CHECK(x.dim() >= 2, "group normalisation needs x [B, C, …], got ", x.sizes());
  const int64_t channels = x.size(1);
  TORCH_CHECK(norm.groups > 0 && channels % norm.groups == 0, "group normalisation needs a multiple of ",
              norm.groups, " channels, got ", channels);
  for (const Tensor* parameter : {&norm.weight, &norm.bias}) {
    TORCH_CHECK(parameter->dim() == 1 && parameter->numel() == channels, "group normalisation of ", channels,
                " channels needs as many weights, got ", parameter->sizes());
  }
  TORCH_CHECK(!condition.defined() || condition.sizes() == torch::IntArrayRef({x.size(0), 2 * channels}),
              "group normalisation of x ", x.sizes(), " needs a condition ",
              torch::IntArrayRef({x.size(0), 2 * channels}), ", got ", condition.sizes());
}

// Where both fit, as for one position or one channel, vectors run along channels when there are more of
// these.
torch::MemoryFormat format_of(const Tensor& x) {
  if (x.dim() != 4) return torch::MemoryFormat::Contiguous;
  if (x.is_contiguous() && x.size(1) == 1) return torch::MemoryFormat::Contiguous;
  return x.is_contiguous(torch::MemoryFormat::ChannelsLast) ? torch::MemoryFormat::ChannelsLast
                                                            : x.suggest_memory_format();
}

// All tensors of one call as the passes take them; keeps them alive.
struct Arguments {
  Arguments(const Tensor& any_x, const NormParameters& norm, const Tensor& any_condition,
            Activation activation)
      : format(format_of(any_x)),
        x(any_x.contiguous(format)),
        weight(norm.weight.contiguous()),
        bias(norm.bias.contiguous()),
        condition(any_condition.defined() ? any_condition.contiguous() : any_condition) {
    const bool last = format == torch::MemoryFormat::ChannelsLast;
    input = {.batch = x.size(0),
             .channels = x.size(1),
             .positions = x.numel() / (x.size(0) * x.size(1)),
             .groups = norm.groups,
             .layout = last ? group_norm_cpu::Layout::channels_last : group_norm_cpu::Layout::channels_first,
             .silu = activation == Activation::silu,
             .x = x.const_data_ptr<float>(),
             .weight = weight.const_data_ptr<float>(),
             .bias = bias.const_data_ptr<float>(),
             .condition = condition.defined() ? condition.const_data_ptr<float>() : nullptr};
  }

  torch::MemoryFormat format;
  Tensor x;
  Tensor weight;
  Tensor bias;
  Tensor condition;
  group_norm_cpu::Input input;
};

struct Result {
  Tensor y;
  Tensor mean;  // [B, groups], like rstd
  Tensor rstd;
};

Result fused_forward(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                     Activation activation) {
  const Arguments arguments(x, norm, condition, activation);
  const auto statistic = [&] { return torch::empty({x.size(0), norm.groups}, x.options()); };
  Result result{torch::empty_like(arguments.x), statistic(), statistic()};
  group_norm_cpu::forward(arguments.input, norm.epsilon, result.y.data_ptr<float>(),
                          result.mean.data_ptr<float>(), result.rstd.data_ptr<float>());
  return result;
}

// For x, weight, bias, condition.
using Gradients = std::array<Tensor, 4>;

Gradients fused_backward(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                         Activation activation, const Result& saved, const Tensor& any_dy) {
  const Arguments arguments(x, norm, condition, activation);
  const Tensor dy = any_dy.contiguous(arguments.format);
  const auto like = [](const Tensor& t) { return torch::empty(t.sizes(), t.options()); };
  Gradients gradients = {torch::empty_like(arguments.x), like(norm.weight), like(norm.bias),
                         condition.defined() ? like(condition) : Tensor()};
  group_norm_cpu::backward(arguments.input,
                           {saved.mean.const_data_ptr<float>(), saved.rstd.const_data_ptr<float>()},
                           dy.const_data_ptr<float>(), gradients[0].data_ptr<float>(),
                           {.weight = gradients[1].data_ptr<float>(),
                            .bias = gradients[2].data_ptr<float>(),
                            .condition = condition.defined() ? gradients[3].data_ptr<float>() : nullptr});
  return gradients;
}

// Those of plain_group_norm, with a graph of their own.
Gradients differentiable_backward(const variable_list& inputs, const NormParameters& norm,
                                  Activation activation, const Tensor& dy) {
  std::vector<Tensor> wanted;
  for (const Tensor& input : inputs) {
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  }
  const Tensor y = plain_group_norm(inputs[0], norm, inputs[3], activation);
  const auto found = torch::autograd::grad({y}, wanted, {dy}, /*retain_graph=*/true, /*create_graph=*/true);
  Gradients gradients;
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() && inputs[i].requires_grad()) gradients[i] = found[next++];
  }
  return gradients;
}

struct FusedGroupNorm : torch::autograd::Function<FusedGroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const std::optional<Tensor>& given_condition, int64_t groups, double epsilon,
                        bool silu) {
    RECORD_FUNCTION("cm::group_norm", std::vector<c10::IValue>({x, weight, bias}));  // for profilers
    const Tensor condition = given_condition.value_or(Tensor());
    const Activation activation = silu ? Activation::silu : Activation::none;
    const Result result = fused_forward(x, {groups, epsilon, weight, bias}, condition, activation);
    context->save_for_backward({x, weight, bias, condition, result.mean, result.rstd});
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
    const Gradients gradients =
        torch::GradMode::is_enabled()
            ? differentiable_backward({saved.begin(), saved.begin() + 4}, norm, activation, dy[0])
            : fused_backward(saved[0], norm, saved[3], activation, {Tensor(), saved[4], saved[5]}, dy[0]);
    variable_list all(gradients.begin(), gradients.end());
    all.resize(7);  // nothing for groups, epsilon, silu
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
      return torch::silu(h);
  }
  return h;
}

Tensor plain_group_norm(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                        Activation activation) {
  check(x, norm, condition);
  if (x.scalar_type() == torch::kBFloat16 || x.scalar_type() == torch::kFloat16) {
    return plain_group_norm(x.to(torch::kFloat32), norm, condition, activation).to(x.scalar_type());
  }
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

Tensor group_norm(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                  Activation activation) {
  check(x, norm, condition);
  if (x.numel() == 0 || !is_kernel_input({x, norm.weight, norm.bias, condition}))
    return plain_group_norm(x, norm, condition, activation);
  const bool recorded =
      torch::GradMode::is_enabled() && (wants_gradient(x) || wants_gradient(norm.weight) ||
                                        wants_gradient(norm.bias) || wants_gradient(condition));
  if (!recorded) return fused_forward(x, norm, condition, activation).y;
  const auto given_condition = condition.defined() ? std::optional(condition) : std::nullopt;
  return FusedGroupNorm::apply(x, norm.weight, norm.bias, given_condition, norm.groups, norm.epsilon,
                               activation == Activation::silu);
}

}  // namespace cm
