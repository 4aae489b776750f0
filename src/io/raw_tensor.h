// What the tensor file formats share: turning a described shape and dtype, which may be hostile, into a
// tensor.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

static_assert(std::endian::native == std::endian::little, "tensor bytes in files are little-endian");

// The bytes of a tensor, or nothing when a size is negative or the product overflows. Zeros are counted as
// ones while multiplying, because LibTorch multiplies the other sizes for the strides.
inline std::optional<int64_t> byte_count(const std::vector<int64_t>& shape, torch::ScalarType dtype) {
  auto bytes = static_cast<int64_t>(c10::elementSize(dtype));
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    if (size > 0 && __builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
  }
  return empty ? 0 : bytes;
}

// A contiguous CPU tensor; `read(void* to, size_t bytes)` fills it where it has elements. A bool's byte in a
// file may hold any value, in memory only 0 and 1.
template <class Read>
Tensor tensor_from_bytes(const std::vector<int64_t>& shape, torch::ScalarType dtype, Read&& read) {
  const bool is_bool = dtype == torch::kBool;
  Tensor tensor = torch::empty(shape, is_bool ? torch::kByte : dtype);
  if (tensor.numel() > 0) read(tensor.data_ptr(), tensor.nbytes());
  return is_bool ? tensor.ne(0) : tensor;
}

// The tensor with its elements side by side in CPU memory, as files hold them; a copy only where needed.
inline Tensor in_file_layout(const Tensor& tensor) {
  return tensor.detach().cpu().contiguous();
}

}  // namespace cm
