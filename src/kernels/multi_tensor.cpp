#include "cm/kernels/multi_tensor.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "cm/kernels/paths.h"
#include "cuda_call.h"
#include "multi_tensor_cpu.h"
#include "multi_tensor_gpu.h"

namespace cm {
namespace {

using TensorList = std::span<const Tensor>;

// Profilers learn the names alone of what runs here.
const c10::ArrayRef<const c10::IValue> kNoInputs;

// Some thousand numbers, which stay in the L1 cache from one average to the next.
constexpr int64_t kPiece = 2048;

struct Piece {
  size_t tensor;
  int64_t first;
  int64_t count;
};

std::vector<Piece> pieces_of(TensorList tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t first = 0; first < tensors[i].numel(); first += kPiece) {
      pieces.push_back({i, first, std::min(kPiece, tensors[i].numel() - first)});
    }
  }
  return pieces;
}

// body(piece, its number), on all threads.
template <class Body>
void for_each_piece(const std::vector<Piece>& pieces, const Body& body) {
  constexpr int64_t kPiecesOfAThread = 8;
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), kPiecesOfAThread, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) body(pieces[static_cast<size_t>(i)], static_cast<size_t>(i));
  });
}

// Whether number k of `other` is number k of `tensor`, as arrays. The strides of a dimension of size 1 lead
// nowhere, and gradients of 1×1 convolutions have others there than their weights.
bool is_laid_out_like(const Tensor& other, const Tensor& tensor) {
  if (other.sizes() != tensor.sizes()) return false;
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    if (tensor.size(d) > 1 && other.stride(d) != tensor.stride(d)) return false;
  }
  return true;
}

// To passes over lists that go together, at least one tensor each.
std::optional<Obstacle> obstacle_to_passes(TensorList tensors, std::initializer_list<TensorList> others) {
  const torch::Device device = tensors.front().device();
  const torch::Dtype type = tensors.front().scalar_type();
  if (!device.is_cpu() && !cuda::has_kernels_for(device)) return Obstacle::device;
  if (type != torch::kFloat32 && !(device.is_cpu() && type == torch::kFloat64)) return Obstacle::type;
  const auto obstacle_in = [&](const Tensor& tensor) -> std::optional<Obstacle> {
    if (tensor.device() != device) return Obstacle::device;
    if (tensor.scalar_type() != type) return Obstacle::type;
    if (tensor.layout() != torch::kStrided) return Obstacle::layout;
    return std::nullopt;
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (const auto obstacle = obstacle_in(tensors[i])) return obstacle;
    if (!tensors[i].is_non_overlapping_and_dense()) return Obstacle::strides;
    for (const TensorList& other : others) {
      if (const auto obstacle = obstacle_in(other[i])) return obstacle;
      if (!is_laid_out_like(other[i], tensors[i])) return Obstacle::strides;
    }
  }
  return std::nullopt;
}

// body(T{}) with the C++ type of `type`, one of the two that passes take on the CPU.
template <class Body>
void with_type(torch::Dtype type, const Body& body) {
  if (type == torch::kFloat32) {
    body(float{});
  } else {
    body(double{});
  }
}

template <class T>
std::vector<T*> arrays_of(TensorList tensors) {
  std::vector<T*> arrays;
  for (const Tensor& tensor : tensors) arrays.push_back(tensor.data_ptr<T>());
  return arrays;
}

// So that autograd finds out when it had saved what is overwritten here.
void note_writing(TensorList tensors) {
  for (const Tensor& tensor : tensors) tensor.unsafeGetTensorImpl()->bump_version();
}

template <class T>
Tensor array_norm(TensorList tensors) {
  const std::vector<Piece> pieces = pieces_of(tensors);
  const std::vector<T*> arrays = arrays_of<T>(tensors);
  const auto& passes = multi_tensor_cpu::passes<T>();
  std::vector<double> sums(pieces.size());
  for_each_piece(pieces, [&](const Piece& piece, size_t number) {
    sums[number] = passes.sum_of_squares(arrays[piece.tensor] + piece.first, piece.count);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return torch::scalar_tensor(std::sqrt(total), tensors.front().options().requires_grad(false));
}

template <class T>
void adam_arrays(const AdamState& state, const AdamUpdate& update) {
  const std::vector<T*> theta = arrays_of<T>(state.theta);
  const std::vector<T*> gradient = arrays_of<T>(state.gradient);
  const std::vector<T*> first = arrays_of<T>(state.first);
  const std::vector<T*> second = arrays_of<T>(state.second);
  const auto& passes = multi_tensor_cpu::passes<T>();
  for_each_piece(pieces_of(state.theta), [&](const Piece& piece, size_t) {
    const size_t i = piece.tensor;
    passes.adam({.theta = theta[i] + piece.first,
                 .gradient = gradient[i] + piece.first,
                 .first = first[i] + piece.first,
                 .second = second[i] + piece.first},
                piece.count, update);
  });
}

void note_update(const AdamState& state) {
  for (const auto* written : {&state.theta, &state.first, &state.second}) note_writing(*written);
}

// Asked on the CPU too, where the numbers are read on the host, so that a step falls back there if it does on
// a GPU.
bool is_number(const Tensor& number, torch::Dtype type, const torch::Device& device) {
  return number.device() == device && number.scalar_type() == type && number.numel() == 1 &&
         number.layout() == torch::kStrided;
}

std::optional<Obstacle> obstacle_to_adam(const AdamState& state, const AdamNumbers& numbers) {
  if (const auto obstacle = obstacle_to_passes(state.theta, {state.gradient, state.first, state.second})) {
    return obstacle;
  }
  const torch::Device device = state.theta.front().device();
  const bool here =
      is_number(numbers.usable, torch::kBool, device) && is_number(numbers.updates, torch::kInt64, device) &&
      is_number(numbers.lr, torch::kFloat64, device) && is_number(numbers.factor, torch::kFloat64, device);
  return here ? std::nullopt : std::optional(Obstacle::numbers);
}

std::optional<Obstacle> obstacle_to_average(const MovingAverage& average, TensorList parameters,
                                            const Tensor& usable) {
  if (const auto obstacle = obstacle_to_passes(parameters, {average.values})) return obstacle;
  const torch::Device device = parameters.front().device();
  const bool here =
      is_number(usable, torch::kBool, device) && is_number(average.rate, torch::kFloat64, device);
  return here ? std::nullopt : std::optional(Obstacle::numbers);
}

void adam_operators(const AdamState& state, const AdamUpdate& update) {
  std::vector<Tensor> g = state.gradient;
  if (update.factor != 1) g = at::_foreach_mul(g, update.factor);
  if (update.added_decay != 0) g = at::_foreach_add(g, state.theta, update.added_decay);
  if (update.shrink != 1) at::_foreach_mul_(state.theta, update.shrink);
  at::_foreach_lerp_(state.first, g, 1 - update.beta1);
  at::_foreach_mul_(state.second, update.beta2);
  at::_foreach_addcmul_(state.second, g, g, 1 - update.beta2);
  if (!update.adaptive) {
    at::_foreach_add_(state.theta, state.first, -update.step);
    return;
  }
  std::vector<Tensor> denominator = at::_foreach_sqrt(state.second);
  if (update.root != 1) at::_foreach_div_(denominator, update.root);
  at::_foreach_add_(denominator, update.eps);
  at::_foreach_addcdiv_(state.theta, state.first, denominator, -update.step);
}

template <class T>
void average_arrays(const std::vector<MovingAverage>& averages, TensorList parameters) {
  std::vector<double> rates;
  std::vector<std::vector<T*>> values;
  for (const MovingAverage& average : averages) {
    rates.push_back(average.rate.item<double>());
    values.push_back(arrays_of<T>(average.values));
  }
  const std::vector<T*> theta = arrays_of<T>(parameters);
  const auto& passes = multi_tensor_cpu::passes<T>();
  for_each_piece(pieces_of(parameters), [&](const Piece& piece, size_t) {
    for (size_t k = 0; k < averages.size(); ++k) {
      passes.average(values[k][piece.tensor] + piece.first, theta[piece.tensor] + piece.first, piece.count,
                     rates[k]);
    }
  });
}

void average_by_kernel(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                       const Tensor& usable) {
  if (averages.empty()) return;
  if (parameters.front().is_cuda()) {
    multi_tensor_gpu::update_averages(averages, parameters, usable);
  } else if (usable.item<bool>()) {
    with_type(parameters.front().scalar_type(), [&]<class T>(T) { average_arrays<T>(averages, parameters); });
  }
  for (const MovingAverage& average : averages) note_writing(average.values);
}

void average_by_operators(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                          const Tensor& usable) {
  if (averages.empty() || !usable.item<bool>()) return;
  for (const auto& [values, rate] : averages) {
    if (const auto kept = rate.item<double>(); kept == 0) {
      at::_foreach_copy_(values, parameters);
    } else {
      at::_foreach_lerp_(values, parameters, 1 - kept);
    }
  }
}

void check_lengths(const char* what, TensorList list, TensorList parameters) {
  TORCH_CHECK(list.size() == parameters.size(), "there are ", parameters.size(), " parameters and ",
              list.size(), " ", what);
}

}  // namespace

Tensor number_on(const torch::Device& device, torch::Dtype type, double value) {
  return torch::full({}, value, torch::TensorOptions(type).device(device));
}

Tensor norm_of(const std::vector<Tensor>& tensors) {
  TORCH_CHECK(!tensors.empty(), "a list without tensors has no norm");
  const torch::NoGradGuard no_gradients;
  RECORD_FUNCTION("cm::norm_of", kNoInputs);
  if (counted(Kernel::norm_of, obstacle_to_passes(tensors, {}))) {
    return torch::stack(at::_foreach_norm(tensors, 2)).norm();
  }
  if (tensors.front().is_cuda()) return multi_tensor_gpu::norm_of(tensors);
  Tensor norm;
  with_type(tensors.front().scalar_type(), [&]<class T>(T) { norm = array_norm<T>(tensors); });
  return norm;
}

void adam_update(const AdamState& state, const AdamRule& rule, const AdamNumbers& numbers) {
  TORCH_CHECK(!state.theta.empty(), "there are no parameters to update");
  check_lengths("gradients", state.gradient, state.theta);
  check_lengths("first moments", state.first, state.theta);
  check_lengths("second moments", state.second, state.theta);
  const torch::NoGradGuard no_gradients;
  RECORD_FUNCTION("cm::adam_update", kNoInputs);
  const auto obstacle = counted(Kernel::adam_update, obstacle_to_adam(state, numbers));
  if (!obstacle && state.theta.front().is_cuda()) {
    multi_tensor_gpu::adam_update(state, rule, numbers);
    note_update(state);
    return;
  }
  if (!numbers.usable.item<bool>()) return;
  const AdamUpdate update = adam_update_at(rule, numbers.updates.item<int64_t>(), numbers.lr.item<double>(),
                                           numbers.factor.item<double>());
  if (obstacle) {
    adam_operators(state, update);
  } else {
    with_type(state.theta.front().scalar_type(), [&]<class T>(T) { adam_arrays<T>(state, update); });
    note_update(state);
  }
}

void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                     const Tensor& usable) {
  TORCH_CHECK(!parameters.empty(), "there are no parameters to average");
  const torch::NoGradGuard no_gradients;
  RECORD_FUNCTION("cm::update_averages", kNoInputs);
  std::vector<MovingAverage> by_kernel;
  std::vector<MovingAverage> by_operators;
  for (const MovingAverage& average : averages) {
    check_lengths("averages", average.values, parameters);
    const auto obstacle = counted(Kernel::update_averages, obstacle_to_average(average, parameters, usable));
    (obstacle ? by_operators : by_kernel).push_back(average);
  }
  average_by_kernel(by_kernel, parameters, usable);
  average_by_operators(by_operators, parameters, usable);
}

}  // namespace cm
