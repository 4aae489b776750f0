#include "cm/kernels/box_resample.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "box_resample_cpu.h"
#include "box_resample_cuda.h"
#include "cm/base/dual.h"
#include "cuda_call.h"
#include "kernel_input.h"

namespace cm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum class Box { spread, gather };

std::optional<Obstacle> obstacle_to(Box pass, const Tensor& x, at::MemoryFormat format) {
  if (x.numel() == 0) return Obstacle::empty;
  if (const auto obstacle = obstacle_to_kernel(x, {})) return obstacle;
  if (!x.is_contiguous(format)) return Obstacle::strides;
  if (pass == Box::gather && (x.size(2) % 2 != 0 || x.size(3) % 2 != 0)) return Obstacle::odd_side;
  const int64_t of_large = pass == Box::spread ? 4 * x.numel() : x.numel();
  return of_large > std::numeric_limits<int32_t>::max() ? std::optional(Obstacle::size) : std::nullopt;
}

// x and y being `small` and `large`, or the other way round.
template <class X>
BoxImages<X> box_images(Box pass, const Tensor& x, const Tensor& y, at::MemoryFormat format, double factor) {
  const Tensor& small = pass == Box::spread ? x : y;
  const Tensor& large = pass == Box::spread ? y : x;
  return {.batch = small.size(0),
          .channels = small.size(1),
          .height = small.size(2),
          .width = small.size(3),
          .channels_last = format == at::MemoryFormat::ChannelsLast,
          .factor = static_cast<float>(factor),
          .small = static_cast<X*>(small.data_ptr()),
          .large = static_cast<X*>(large.data_ptr())};
}

const char* run_on_gpu(Box pass, const BoxImages<void>& images, cuda::Number type, cuda::Stream stream) {
  if constexpr (cuda::is_built) {
    return pass == Box::spread ? box_resample_cuda::spread(images, type, stream)
                               : box_resample_cuda::gather(images, type, stream);
  }
  return nullptr;
}

Tensor by_kernel(Box pass, const Tensor& x, at::MemoryFormat format, double factor) {
  const auto side = [&](int64_t of_x) { return pass == Box::spread ? 2 * of_x : of_x / 2; };
  Tensor y =
      at::empty({x.size(0), x.size(1), side(x.size(2)), side(x.size(3))}, x.options().memory_format(format));
  if (x.is_cpu()) {
    const auto images = box_images<float>(pass, x, y, format, factor);
    pass == Box::spread ? box_resample_cpu::spread(images) : box_resample_cpu::gather(images);
    return y;
  }
  const cuda::Call call(x.device());
  const char* const problem =
      run_on_gpu(pass, box_images<void>(pass, x, y, format, factor), cuda::number_of(x), call.stream());
  TORCH_CHECK(problem == nullptr, "the box filter on a GPU failed: ", problem);
  return y;
}

// The format is given because the one of a single pixel is both.
Tensor box_resample(Box pass, const Tensor& x, at::MemoryFormat format, double factor);

struct BoxResample : torch::autograd::Function<BoxResample> {
  static Tensor forward(AutogradContext* context, const Tensor& x, Box pass, at::MemoryFormat format,
                        double factor) {
    context->saved_data["spreads"] = pass == Box::spread;
    context->saved_data["format"] = static_cast<int64_t>(format);
    context->saved_data["factor"] = factor;
    return by_kernel(pass, x, format, factor);
  }

  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const Box adjoint = context->saved_data["spreads"].toBool() ? Box::gather : Box::spread;
    const auto format = static_cast<at::MemoryFormat>(context->saved_data["format"].toInt());
    return {box_resample(adjoint, dy[0].contiguous(format), format, context->saved_data["factor"].toDouble()),
            {},
            {},
            {}};
  }
};

void check_images(const Tensor& x) {
  TORCH_CHECK(x.dim() == 4, "the box filter needs x [B, C, H, W], got ", x.sizes());
}

Tensor box_resample(Box pass, const Tensor& x, at::MemoryFormat format, double factor) {
  const bool spreads = pass == Box::spread;
  if (counted(spreads ? Kernel::spread_2x2 : Kernel::gather_2x2, obstacle_to(pass, x, format))) {
    return spreads ? plain_spread_2x2(x, factor) : plain_gather_2x2(x, factor);
  }
  RECORD_FUNCTION(spreads ? "cm::spread_2x2" : "cm::gather_2x2",
                  std::vector<c10::IValue>({x}));  // for profilers
  return BoxResample::apply(x, pass, format, factor);
}

}  // namespace

Tensor plain_spread_2x2(const Tensor& x, double factor) {
  check_images(x);
  return scaled_by(at::upsample_nearest2d(x, at::IntArrayRef{2 * x.size(2), 2 * x.size(3)}), factor);
}

Tensor plain_gather_2x2(const Tensor& x, double factor) {
  check_images(x);
  return scaled_by(at::avg_pool2d(x, 2), 4 * factor);
}

Tensor spread_2x2(const Tensor& any, double factor) {
  check_images(any);
  return linear_map(
      any, [&](const Tensor& x) { return box_resample(Box::spread, x, x.suggest_memory_format(), factor); });
}

Tensor gather_2x2(const Tensor& any, double factor) {
  check_images(any);
  return linear_map(
      any, [&](const Tensor& x) { return box_resample(Box::gather, x, x.suggest_memory_format(), factor); });
}

}  // namespace cm
