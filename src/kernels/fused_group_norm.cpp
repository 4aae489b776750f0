#include "fused_group_norm.h"

#include <algorithm>

#include "cuda_call.h"
#include "group_norm_cpu.h"
#include "group_norm_cuda.h"
#include "group_norm_plan.h"
#include "kernel_input.h"

namespace cm {
namespace {

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
  Arguments(const Biased& any_x, const NormParameters& norm, const Tensor& any_condition,
            Activation any_activation)
      : format(format_of(any_x.image)),
        x(any_x.image.contiguous(format)),
        added(contiguous(any_x.bias)),
        weight(norm.weight.contiguous()),
        bias(norm.bias.contiguous()),
        condition(contiguous(any_condition)),
        groups(norm.groups),
        activation(any_activation) {}

  static Tensor contiguous(const Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; }

  // X is float or void.
  template <class X>
  GroupNormInput<X> input() const {
    const bool last = format == torch::MemoryFormat::ChannelsLast;
    return {.batch = x.size(0),
            .channels = x.size(1),
            .positions = x.numel() / (x.size(0) * x.size(1)),
            .groups = groups,
            .layout = last ? NormLayout::channels_last : NormLayout::channels_first,
            .silu = activation == Activation::silu,
            .x = static_cast<const X*>(x.const_data_ptr()),
            .added = floats_or_null(added),
            .added_row = added.defined() && added.dim() == 2 ? x.size(1) : 0,
            .weight = floats_or_null(weight),
            .bias = floats_or_null(bias),
            .condition = floats_or_null(condition)};
  }

  torch::MemoryFormat format;
  Tensor x;
  Tensor added;
  Tensor weight;
  Tensor bias;
  Tensor condition;
  int64_t groups;
  Activation activation;
};

group_norm_cuda::PlannedInput planned(const Tensor& x, int64_t groups, NormLayout layout) {
  return {.batch = x.size(0),
          .channels = x.size(1),
          .positions = x.numel() / (x.size(0) * x.size(1)),
          .groups = groups,
          .layout = layout,
          .bytes = static_cast<int>(x.element_size()),
          .aligned = false};
}

// Of arrays that start where `images` do.
group_norm_cuda::Plan plan_of(const Arguments& arguments, std::initializer_list<Tensor> images) {
  auto input = planned(arguments.x, arguments.groups, arguments.input<void>().layout);
  input.aligned = std::ranges::all_of(
      images, [](const Tensor& image) { return cuda::is_aligned(image.const_data_ptr()); });
  int multiprocessors = 1;
  if constexpr (cuda::is_built) multiprocessors = cuda::multiprocessors(arguments.x.get_device());
  const auto plan = group_norm_cuda::plan_for(input, multiprocessors);
  TORCH_CHECK(plan, "a group normalisation of ", arguments.x.sizes(), " has no place on a GPU");
  return *plan;
}

Tensor workspace_of(const Tensor& x, int64_t numbers) {
  return torch::empty({numbers}, x.options().dtype(torch::kFloat32));
}

void forward_on_gpu(const Arguments& arguments, double epsilon, const FusedGroupNormResult& result) {
  const cuda::Call call(arguments.x.device());
  const auto plan = plan_of(arguments, {arguments.x, result.y});
  const Tensor workspace = workspace_of(arguments.x, forward_workspace(plan, arguments.x.size(0)));
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem =
        group_norm_cuda::forward(arguments.input<void>(), cuda::number_of(arguments.x), plan, epsilon,
                                 {result.y.data_ptr(), result.mean.data_ptr<float>(),
                                  result.rstd.data_ptr<float>(), writable_floats_or_null(result.deviation)},
                                 workspace.data_ptr<float>(), call.stream());
  }
  TORCH_CHECK(problem == nullptr, "group normalisation on a GPU failed: ", problem);
}

void backward_on_gpu(const Arguments& arguments, const FusedGroupNormResult& saved, const Tensor& dy,
                     const GroupNormGradients& gradients) {
  const cuda::Call call(arguments.x.device());
  const auto plan = plan_of(arguments, {arguments.x, dy, gradients[0]});
  const Tensor workspace = workspace_of(arguments.x, backward_workspace(plan, arguments.x.size(0)));
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = group_norm_cuda::backward(
        arguments.input<void>(), cuda::number_of(arguments.x), plan,
        {saved.mean.const_data_ptr<float>(), saved.rstd.const_data_ptr<float>(),
         floats_or_null(saved.deviation), dy.const_data_ptr()},
        {gradients[0].data_ptr(), gradients[1].data_ptr<float>(), gradients[2].data_ptr<float>(),
         writable_floats_or_null(gradients[3]), writable_floats_or_null(gradients[4])},
        workspace.data_ptr<float>(), call.stream());
  }
  TORCH_CHECK(problem == nullptr, "the gradient of a group normalisation on a GPU failed: ", problem);
}

}  // namespace

std::optional<Obstacle> obstacle_to_fused_group_norm(const Biased& biased, const NormParameters& norm,
                                                     const Tensor& condition) {
  const Tensor& x = biased.image;
  if (x.numel() == 0) return Obstacle::empty;
  if (const auto obstacle = obstacle_to_kernel(x, {norm.weight, norm.bias, condition, biased.bias})) {
    return obstacle;
  }
  const bool has_place =
      x.is_cpu() || group_norm_cuda::plan_for(planned(x, norm.groups, NormLayout::channels_first), 1);
  return has_place ? std::nullopt : std::optional(Obstacle::size);
}

FusedGroupNormResult fused_forward(const Biased& x, const NormParameters& norm, const Tensor& condition,
                                   Activation activation) {
  const Arguments arguments(x, norm, condition, activation);
  const auto statistic = [&](int64_t count) {
    return torch::empty({arguments.x.size(0), count}, arguments.x.options().dtype(torch::kFloat32));
  };
  FusedGroupNormResult result{.y = torch::empty_like(arguments.x),
                              .mean = statistic(norm.groups),
                              .rstd = statistic(norm.groups),
                              .deviation = x.bias.defined() ? statistic(arguments.x.size(1)) : Tensor()};
  if (arguments.x.is_cuda()) {
    forward_on_gpu(arguments, norm.epsilon, result);
    return result;
  }
  group_norm_cpu::forward(arguments.input<float>(), norm.epsilon, result.y.data_ptr<float>(),
                          {result.mean.data_ptr<float>(), result.rstd.data_ptr<float>(),
                           writable_floats_or_null(result.deviation)});
  return result;
}

GroupNormGradients fused_backward(const Biased& x, const NormParameters& norm, const Tensor& condition,
                                  Activation activation, const FusedGroupNormResult& saved,
                                  const Tensor& any_dy) {
  const Arguments arguments(x, norm, condition, activation);
  const Tensor dy = any_dy.contiguous(arguments.format);
  const auto like = [](const Tensor& t) {
    return t.defined() ? torch::empty(t.sizes(), t.options()) : Tensor();
  };
  GroupNormGradients gradients = {torch::empty_like(arguments.x), like(norm.weight), like(norm.bias),
                                  like(condition), Tensor()};
  // Of each image, whether they share the bias or not.
  if (x.bias.defined()) {
    gradients[4] = torch::empty({arguments.x.size(0), arguments.x.size(1)}, x.bias.options());
  }
  if (arguments.x.is_cuda()) {
    backward_on_gpu(arguments, saved, dy, gradients);
  } else {
    group_norm_cpu::backward(arguments.input<float>(),
                             {saved.mean.const_data_ptr<float>(), saved.rstd.const_data_ptr<float>(),
                              floats_or_null(saved.deviation)},
                             dy.const_data_ptr<float>(), gradients[0].data_ptr<float>(),
                             {.weight = gradients[1].data_ptr<float>(),
                              .bias = gradients[2].data_ptr<float>(),
                              .condition = writable_floats_or_null(gradients[3]),
                              .added = writable_floats_or_null(gradients[4])});
  }
  if (x.bias.defined() && x.bias.dim() == 1) gradients[4] = gradients[4].sum(0);
  return gradients;
}

std::optional<Obstacle> obstacle_to_fused_tangent(const Biased& x, const NormParameters& norm,
                                                  const Tensor& condition) {
  return x.image.is_cpu() ? obstacle_to_fused_group_norm(x, norm, condition) : Obstacle::device;
}

Tensor fused_tangent(const Biased& x, const NormParameters& norm, const Tensor& condition,
                     Activation activation, const Biased& any_x_dot, const Tensor& any_condition_dot) {
  const Arguments arguments(x, norm, condition, activation);
  const Tensor x_dot = any_x_dot.image.contiguous(arguments.format);
  const Tensor condition_dot = Arguments::contiguous(any_condition_dot);
  Tensor added_dot;
  if (any_x_dot.bias.defined())
    added_dot = any_x_dot.bias.expand({x_dot.size(0), x_dot.size(1)}).contiguous();
  Tensor y_dot = torch::empty_like(arguments.x);
  group_norm_cpu::tangent(arguments.input<float>(), norm.epsilon,
                          {.x = x_dot.const_data_ptr<float>(),
                           .condition = floats_or_null(condition_dot),
                           .added = floats_or_null(added_dot)},
                          y_dot.data_ptr<float>());
  return y_dot;
}

}  // namespace cm
