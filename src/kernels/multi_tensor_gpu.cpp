#include "multi_tensor_gpu.h"

#include "cuda_call.h"
#include "multi_tensor_cuda.h"
#include "multi_tensor_table.h"

namespace cm::multi_tensor_gpu {
namespace {

using multi_tensor_cuda::AdamScalars;
using multi_tensor_cuda::Lists;

void add(Lists& lists, const std::vector<Tensor>& tensors) {
  auto& arrays = lists.arrays.emplace_back();
  for (const Tensor& tensor : tensors) arrays.push_back(tensor.data_ptr<float>());
}

Lists lists_of(const std::vector<Tensor>& tensors) {
  Lists lists;
  for (const Tensor& tensor : tensors) lists.counts.push_back(tensor.numel());
  add(lists, tensors);
  return lists;
}

[[maybe_unused]] void check(const char* what, const char* problem) {
  TORCH_CHECK(problem == nullptr, what, " on a GPU failed: ", problem);
}

}  // namespace

Tensor norm_of(const std::vector<Tensor>& tensors) {
  const auto options = tensors.front().options().requires_grad(false);
  const cuda::Call call(tensors.front().device());
  const Lists lists = lists_of(tensors);
  const Tensor sums =
      torch::empty({multi_tensor_cuda::norm_workspace(lists)}, options.dtype(torch::kFloat64));
  Tensor norm = torch::empty({}, options);
  if constexpr (cuda::is_built) {
    check("the norm of tensors",
          multi_tensor_cuda::norm(lists, sums.data_ptr<double>(), norm.data_ptr<float>(), call.stream()));
  }
  return norm;
}

void adam_update(const AdamState& state, const AdamRule& rule, const AdamNumbers& numbers) {
  const cuda::Call call(state.theta.front().device());
  Lists lists = lists_of(state.theta);
  add(lists, state.gradient);
  add(lists, state.first);
  add(lists, state.second);
  const Tensor scalars =
      torch::empty({static_cast<int64_t>(sizeof(AdamScalars))}, numbers.usable.options().dtype(torch::kByte));
  if constexpr (cuda::is_built) {
    check("Adam's update",
          multi_tensor_cuda::adam(
              lists, rule,
              {numbers.usable.const_data_ptr<bool>(), numbers.updates.const_data_ptr<int64_t>(),
               numbers.lr.const_data_ptr<double>(), numbers.factor.const_data_ptr<double>()},
              reinterpret_cast<AdamScalars*>(scalars.data_ptr()), call.stream()));
  }
}

void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                     const Tensor& usable) {
  const cuda::Call call(parameters.front().device());
  Lists lists = lists_of(parameters);
  std::vector<const double*> rates;
  for (const MovingAverage& average : averages) {
    add(lists, average.values);
    rates.push_back(average.rate.const_data_ptr<double>());
  }
  if constexpr (cuda::is_built) {
    check("an update of averages",
          multi_tensor_cuda::averages(lists, rates, usable.const_data_ptr<bool>(), call.stream()));
  }
}

}  // namespace cm::multi_tensor_gpu
