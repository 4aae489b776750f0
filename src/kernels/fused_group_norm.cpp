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

template <class X>
JoinedArrays<X> arrays_of(const Joined& images) {
  const auto array = [](const Tensor& image) {
    if constexpr (std::is_const_v<X>) {
      return static_cast<X*>(image.const_data_ptr());
    } else {
      return static_cast<X*>(image.data_ptr());
    }
  };
  return {.first = array(images.first),
          .second = images.second.defined() ? array(images.second) : nullptr,
          .seam = images.first.size(1)};
}

Joined contiguous(const Joined& images, torch::MemoryFormat format) {
  return each_of(images, [&](const Tensor& image) { return image.contiguous(format); });
}

int64_t positions_of(const Joined& images) {
  return images.first.numel() / (images.first.size(0) * images.first.size(1));
}

// All tensors of one call as the passes take them; keeps them alive.
struct Arguments {
  Arguments(const NormInput& any_x, const NormParameters& norm, const Tensor& any_condition,
            Activation any_activation)
      : format(format_of(any_x.image.first)),
        x(cm::contiguous(any_x.image, format)),
        added(contiguous(any_x.bias)),
        weight(norm.weight.contiguous()),
        bias(norm.bias.contiguous()),
        condition(contiguous(any_condition)),
        groups(norm.groups),
        activation(any_activation) {}

  static Tensor contiguous(const Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; }

  int64_t batch() const { return x.first.size(0); }
  int64_t channels() const { return x.channels(); }
  torch::Device device() const { return x.first.device(); }
  Tensor empty_image() const {
    if (!x.second.defined()) return torch::empty_like(x.first);
    auto sizes = x.first.sizes().vec();
    sizes[1] = channels();
    return torch::empty(sizes, x.first.options().memory_format(format));
  }
  Joined empty_images() const {
    return each_of(x, [](const Tensor& image) { return torch::empty_like(image); });
  }
  Tensor statistics(int64_t of_an_image) const {
    return torch::empty({batch(), of_an_image}, x.first.options().dtype(torch::kFloat32));
  }

  // X is float or void.
  template <class X>
  GroupNormInput<X> input() const {
    const bool last = format == torch::MemoryFormat::ChannelsLast;
    return {.batch = batch(),
            .channels = channels(),
            .positions = positions_of(x),
            .groups = groups,
            .layout = last ? NormLayout::channels_last : NormLayout::channels_first,
            .silu = activation == Activation::silu,
            .x = arrays_of<const X>(x),
            .added = floats_or_null(added),
            .added_row = added.defined() && added.dim() == 2 ? channels() : 0,
            .weight = floats_or_null(weight),
            .bias = floats_or_null(bias),
            .condition = floats_or_null(condition)};
  }

  torch::MemoryFormat format;
  Joined x;
  Tensor added;
  Tensor weight;
  Tensor bias;
  Tensor condition;
  int64_t groups;
  Activation activation;
};

group_norm_cuda::PlannedInput planned(const Joined& x, int64_t groups, NormLayout layout) {
  const Tensor& first = x.first;
  return {.batch = first.size(0),
          .channels = x.channels(),
          .seam = first.size(1),
          .positions = positions_of(x),
          .groups = groups,
          .layout = layout,
          .bytes = static_cast<int>(first.element_size()),
          .aligned = false};
}

// Of arrays that start where `images`, of which some may be missing, do.
group_norm_cuda::Plan plan_of(const Arguments& arguments, std::initializer_list<Tensor> images) {
  auto input = planned(arguments.x, arguments.groups, arguments.input<void>().layout);
  input.aligned = std::ranges::all_of(images, [](const Tensor& image) {
    return !image.defined() || cuda::is_aligned(image.const_data_ptr());
  });
  int multiprocessors = 1;
  if constexpr (cuda::is_built) multiprocessors = cuda::multiprocessors(arguments.device().index());
  const auto plan = group_norm_cuda::plan_for(input, multiprocessors);
  TORCH_CHECK(plan, "a group normalisation of ", arguments.x.first.sizes(), " has no place on a GPU");
  return *plan;
}

Tensor workspace_of(const Tensor& x, int64_t numbers) {
  return torch::empty({numbers}, x.options().dtype(torch::kFloat32));
}

void forward_on_gpu(const Arguments& arguments, double epsilon, const FusedGroupNormResult& result) {
  const cuda::Call call(arguments.device());
  const auto plan = plan_of(arguments, {arguments.x.first, arguments.x.second, result.y});
  const Tensor workspace = workspace_of(arguments.x.first, forward_workspace(plan, arguments.batch()));
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem =
        group_norm_cuda::forward(arguments.input<void>(), cuda::number_of(arguments.x.first), plan, epsilon,
                                 {result.y.data_ptr(), result.mean.data_ptr<float>(),
                                  result.rstd.data_ptr<float>(), writable_floats_or_null(result.deviation)},
                                 workspace.data_ptr<float>(), call.stream());
  }
  TORCH_CHECK(problem == nullptr, "group normalisation on a GPU failed: ", problem);
}

void backward_on_gpu(const Arguments& arguments, const FusedGroupNormResult& saved, const Tensor& dy,
                     const GroupNormGradients& gradients) {
  const cuda::Call call(arguments.device());
  const auto plan =
      plan_of(arguments, {arguments.x.first, arguments.x.second, dy, gradients.x.first, gradients.x.second});
  const Tensor workspace = workspace_of(arguments.x.first, backward_workspace(plan, arguments.batch()));
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = group_norm_cuda::backward(
        arguments.input<void>(), cuda::number_of(arguments.x.first), plan,
        {saved.mean.const_data_ptr<float>(), saved.rstd.const_data_ptr<float>(),
         floats_or_null(saved.deviation), dy.const_data_ptr()},
        {arrays_of<void>(gradients.x), gradients.weight.data_ptr<float>(), gradients.bias.data_ptr<float>(),
         writable_floats_or_null(gradients.condition), writable_floats_or_null(gradients.added)},
        workspace.data_ptr<float>(), call.stream());
  }
  TORCH_CHECK(problem == nullptr, "the gradient of a group normalisation on a GPU failed: ", problem);
}

}  // namespace

std::optional<Obstacle> obstacle_to_fused_group_norm(const NormInput& x, const NormParameters& norm,
                                                     const Tensor& condition) {
  const Tensor& image = x.image.first;
  if (image.numel() == 0) return Obstacle::empty;
  if (const auto obstacle = obstacle_to_kernel(image, {norm.weight, norm.bias, condition, x.bias})) {
    return obstacle;
  }
  if (x.image.second.defined() && x.image.second.layout() != torch::kStrided) return Obstacle::layout;
  const bool has_place = image.is_cpu() || group_norm_cuda::plan_for(
                                               planned(x.image, norm.groups, NormLayout::channels_first), 1);
  return has_place ? std::nullopt : std::optional(Obstacle::size);
}

FusedGroupNormResult fused_forward(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                                   Activation activation) {
  const Arguments arguments(x, norm, condition, activation);
  FusedGroupNormResult result{
      .y = arguments.empty_image(),
      .mean = arguments.statistics(norm.groups),
      .rstd = arguments.statistics(norm.groups),
      .deviation = x.bias.defined() ? arguments.statistics(arguments.channels()) : Tensor()};
  if (arguments.device().is_cuda()) {
    forward_on_gpu(arguments, norm.epsilon, result);
    return result;
  }
  group_norm_cpu::forward(arguments.input<float>(), norm.epsilon, result.y.data_ptr<float>(),
                          {result.mean.data_ptr<float>(), result.rstd.data_ptr<float>(),
                           writable_floats_or_null(result.deviation)});
  return result;
}

GroupNormGradients fused_backward(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                                  Activation activation, const FusedGroupNormResult& saved,
                                  const Tensor& any_dy) {
  const Arguments arguments(x, norm, condition, activation);
  const Tensor dy = any_dy.contiguous(arguments.format);
  const auto like = [](const Tensor& t) {
    return t.defined() ? torch::empty(t.sizes(), t.options()) : Tensor();
  };
  GroupNormGradients gradients{
      .x = arguments.empty_images(),
      .weight = like(norm.weight),
      .bias = like(norm.bias),
      .condition = like(condition),
      // Of each image, whether they share the bias or not.
      .added = x.bias.defined() ? arguments.statistics(arguments.channels()) : Tensor()};
  if (arguments.device().is_cuda()) {
    backward_on_gpu(arguments, saved, dy, gradients);
  } else {
    group_norm_cpu::backward(arguments.input<float>(),
                             {saved.mean.const_data_ptr<float>(), saved.rstd.const_data_ptr<float>(),
                              floats_or_null(saved.deviation)},
                             dy.const_data_ptr<float>(), arrays_of<float>(gradients.x),
                             {.weight = gradients.weight.data_ptr<float>(),
                              .bias = gradients.bias.data_ptr<float>(),
                              .condition = writable_floats_or_null(gradients.condition),
                              .added = writable_floats_or_null(gradients.added)});
  }
  if (x.bias.defined() && x.bias.dim() == 1) gradients.added = gradients.added.sum(0);
  return gradients;
}

std::optional<Obstacle> obstacle_to_fused_tangent(const NormInput& x, const NormParameters& norm,
                                                  const Tensor& condition) {
  return x.image.first.is_cpu() ? obstacle_to_fused_group_norm(x, norm, condition) : Obstacle::device;
}

Tensor fused_tangent(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                     Activation activation, const NormInput& any_x_dot, const Tensor& any_condition_dot) {
  const Arguments arguments(x, norm, condition, activation);
  const Joined x_dot = contiguous(any_x_dot.image, arguments.format);
  const Tensor condition_dot = Arguments::contiguous(any_condition_dot);
  Tensor added_dot;
  if (any_x_dot.bias.defined())
    added_dot = any_x_dot.bias.expand({arguments.batch(), arguments.channels()}).contiguous();
  Tensor y_dot = arguments.empty_image();
  group_norm_cpu::tangent(arguments.input<float>(), norm.epsilon,
                          {.x = arrays_of<const float>(x_dot),
                           .condition = floats_or_null(condition_dot),
                           .added = floats_or_null(added_dot)},
                          y_dot.data_ptr<float>());
  return y_dot;
}

}  // namespace cm
