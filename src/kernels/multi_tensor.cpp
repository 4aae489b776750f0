#include "cm/kernels/multi_tensor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "cuda_call.h"
#include "multi_tensor_cpu.h"
#include "multi_tensor_gpu.h"

namespace cm {
namespace {

using TensorList = std::span<const Tensor>;

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

// Whether the strides of two tensors of equal sizes lead to the same places: in a dimension of size 1 none is
// ever taken, and gradients of 1×1 convolutions have others there than their weights.
bool has_strides_of(const Tensor& other, const Tensor& tensor) {
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    if (tensor.size(d) > 1 && other.stride(d) != tensor.stride(d)) return false;
  }
  return true;
}

// Whether number k of `other` is number k of `tensor`, as arrays.
bool is_laid_out_like(const Tensor& other, const Tensor& tensor) {
  return other.device() == tensor.device() && other.layout() == torch::kStrided &&
         other.scalar_type() == tensor.scalar_type() && other.sizes() == tensor.sizes() &&
         has_strides_of(other, tensor);
}

// What the passes of one call run over.
struct Arrays {
  torch::Device device;
  torch::Dtype type;
};

bool has_passes(const Arrays& arrays) {
  if (arrays.device.is_cpu()) return arrays.type == torch::kFloat32 || arrays.type == torch::kFloat64;
  return arrays.type == torch::kFloat32 && cuda::has_kernels_for(arrays.device);
}

// Of lists that go together, when the passes can take them, which they cannot when tensors overlap themselves
// or have gaps.
std::optional<Arrays> arrays_in(TensorList tensors, std::initializer_list<TensorList> others) {
  if (tensors.empty()) return std::nullopt;
  const Arrays arrays{tensors.front().device(), tensors.front().scalar_type()};
  if (!has_passes(arrays)) return std::nullopt;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i];
    if (!is_laid_out_like(tensor, tensor) || tensor.scalar_type() != arrays.type ||
        tensor.device() != arrays.device || !tensor.is_non_overlapping_and_dense()) {
      return std::nullopt;
    }
    for (const TensorList& other : others) {
      if (!is_laid_out_like(other[i], tensor)) return std::nullopt;
    }
  }
  return arrays;
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

bool are_on_gpu(const AdamNumbers& numbers, const torch::Device& device) {
  using multi_tensor_gpu::is_number;
  return device.is_cuda() && is_number(numbers.usable, torch::kBool, device) &&
         is_number(numbers.updates, torch::kInt64, device) &&
         is_number(numbers.lr, torch::kFloat64, device) && is_number(numbers.factor, torch::kFloat64, device);
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

std::vector<double> rates_of(const std::vector<MovingAverage>& averages) {
  std::vector<double> rates;
  for (const MovingAverage& average : averages) rates.push_back(average.rate.item<double>());
  return rates;
}

template <class T>
void average_arrays(const std::vector<MovingAverage>& averages, TensorList parameters) {
  const std::vector<double> rates = rates_of(averages);
  const std::vector<T*> theta = arrays_of<T>(parameters);
  const auto& passes = multi_tensor_cpu::passes<T>();
  std::vector<std::vector<T*>> values;
  for (const MovingAverage& average : averages) values.push_back(arrays_of<T>(average.values));
  for_each_piece(pieces_of(parameters), [&](const Piece& piece, size_t) {
    for (size_t k = 0; k < averages.size(); ++k) {
      passes.average(values[k][piece.tensor] + piece.first, theta[piece.tensor] + piece.first, piece.count,
                     rates[k]);
    }
  });
  for (const MovingAverage& average : averages) note_writing(average.values);
}

void average_operators(const MovingAverage& average, const std::vector<Tensor>& parameters) {
  const auto rate = average.rate.item<double>();
  if (rate == 0) {
    at::_foreach_copy_(average.values, parameters);
  } else {
    at::_foreach_lerp_(average.values, parameters, 1 - rate);
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
  const torch::NoGradGuard guard;
  const auto arrays = arrays_in(tensors, {});
  if (!arrays) return torch::stack(at::_foreach_norm(tensors, 2)).norm();
  if (!arrays->device.is_cpu()) return multi_tensor_gpu::norm_of(tensors);
  Tensor norm;
  with_type(arrays->type, [&]<class T>(T) { norm = array_norm<T>(tensors); });
  return norm;
}

void adam_update(const AdamState& state, const AdamRule& rule, const AdamNumbers& numbers) {
  check_lengths("gradients", state.gradient, state.theta);
  check_lengths("first moments", state.first, state.theta);
  check_lengths("second moments", state.second, state.theta);
  const torch::NoGradGuard guard;
  const auto arrays = arrays_in(state.theta, {state.gradient, state.first, state.second});
  if (arrays && are_on_gpu(numbers, arrays->device)) {
    multi_tensor_gpu::adam_update(state, rule, numbers);
    note_update(state);
    return;
  }
  if (!numbers.usable.item<bool>()) return;
  const AdamUpdate update = adam_update_at(rule, numbers.updates.item<int64_t>(), numbers.lr.item<double>(),
                                           numbers.factor.item<double>());
  if (arrays && arrays->device.is_cpu()) {
    with_type(arrays->type, [&]<class T>(T) { adam_arrays<T>(state, update); });
    note_update(state);
  } else {
    adam_operators(state, update);
  }
}

void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                     const Tensor& usable) {
  for (const MovingAverage& average : averages) check_lengths("averages", average.values, parameters);
  const torch::NoGradGuard guard;
  std::vector<MovingAverage> on_gpu;
  std::vector<MovingAverage> on_cpu;
  std::vector<MovingAverage> others;
  for (const MovingAverage& average : averages) {
    const auto arrays = arrays_in(parameters, {average.values});
    const bool gpu = arrays && arrays->device.is_cuda();
    if (gpu && multi_tensor_gpu::is_number(average.rate, torch::kFloat64, arrays->device) &&
        multi_tensor_gpu::is_number(usable, torch::kBool, arrays->device)) {
      on_gpu.push_back(average);
    } else {
      (arrays && !gpu ? on_cpu : others).push_back(average);
    }
  }
  if (!on_gpu.empty()) multi_tensor_gpu::update_averages(on_gpu, parameters, usable);
  for (const MovingAverage& average : on_gpu) note_writing(average.values);
  if ((on_cpu.empty() && others.empty()) || !usable.item<bool>()) return;
  for (const MovingAverage& average : others) average_operators(average, parameters);
  if (on_cpu.empty()) return;
  with_type(parameters.front().scalar_type(), [&]<class T>(T) { average_arrays<T>(on_cpu, parameters); });
}

}  // namespace cm
