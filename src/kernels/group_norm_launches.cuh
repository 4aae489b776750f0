// The launches of group_norm_cuda.h: which kernels, in which order, with which arguments. How a kernel is
// launched is the caller's: launch(kernel, blocks, bytes of shared memory, its argument).
#pragma once

#include "group_norm_backward.cuh"
#include "group_norm_cuda.h"

namespace cm::group_norm_cuda {

template <class T>
using KernelOf = void (*)(T);

template <class T, NormLayout layout>
KernelOf<Forward> forward_kernel_of(int vector) {
  constexpr int kMost = 16 / sizeof(T);
  return vector == 1 ? forward_kernel<T, 1, layout> : forward_kernel<T, kMost, layout>;
}

template <class T, NormLayout layout>
KernelOf<Backward> backward_kernel_of(int vector) {
  constexpr int kMost = 16 / sizeof(T);
  return vector == 1 ? backward_kernel<T, 1, layout> : backward_kernel<T, kMost, layout>;
}

// choose.template operator()<T, layout>().
template <class T, class Choose>
auto by_layout(NormLayout layout, const Choose& choose) {
  return layout == NormLayout::channels_first ? choose.template operator()<T, NormLayout::channels_first>()
                                              : choose.template operator()<T, NormLayout::channels_last>();
}

template <class Choose>
auto by_type(Number type, NormLayout layout, const Choose& choose) {
  return cuda::by_number(type, [&]<class T>() { return by_layout<T>(layout, choose); });
}

inline Common common_of(const Input& input, const Plan& plan) {
  return {.plan = plan,
          .silu = input.silu,
          .stage = Stage::whole,
          .x = input.x,
          .added = input.added,
          .added_row = input.added_row,
          .weight = input.weight,
          .bias = input.bias,
          .condition = input.condition};
}

template <class Launch, class Job>
void launch_stages(const Launch& launch, KernelOf<Job> kernel, Job job) {
  const Plan plan = job.plan;
  if (plan.slices > 1) {
    job.stage = Stage::sums;
    launch(kernel, plan.blocks, plan.shared_bytes, job);
    job.stage = Stage::rest;
  }
  launch(kernel, plan.blocks, plan.shared_bytes, job);
}

template <class Launch>
void launch_forward(const Launch& launch, const Input& input, Number type, const Plan& plan, double epsilon,
                    const ForwardResult& result, float* workspace) {
  const Forward job = {common_of(input, plan),
                       static_cast<float>(epsilon),
                       result.y,
                       result.mean,
                       result.rstd,
                       result.deviation,
                       reinterpret_cast<float2*>(workspace),
                       workspace + 2 * input.batch * input.groups * plan.slices};
  const auto kernel = by_type(type, plan.layout, [&]<class T, NormLayout layout>() {
    return forward_kernel_of<T, layout>(plan.vector);
  });
  launch_stages(launch, kernel, job);
}

template <class Launch>
void launch_backward(const Launch& launch, const Input& input, Number type, const Plan& plan,
                     const Given& given, const Gradients& gradients, float* workspace) {
  auto* const of_image = reinterpret_cast<float2*>(workspace);
  auto* const sums = of_image + input.batch * input.channels;
  const Backward job = {common_of(input, plan), given.mean,      given.rstd,      given.dy, gradients.x,
                        gradients.condition,    given.deviation, gradients.added, of_image, sums};
  const auto kernel = by_type(type, plan.layout, [&]<class T, NormLayout layout>() {
    return backward_kernel_of<T, layout>(plan.vector);
  });
  launch_stages(launch, kernel, job);
  const BatchSum sum{.batch = input.batch,
                     .channels = plan.channels,
                     .of_image = of_image,
                     .bias = gradients.bias,
                     .weight = gradients.weight};
  launch(KernelOf<BatchSum>(sum_over_batch), (plan.channels + kColumns - 1) / kColumns, kBatchSumBytes, sum);
}

}  // namespace cm::group_norm_cuda
