#include "cm/io/npy.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "npy_header.h"
#include "raw_tensor.h"

namespace cm {
namespace {

// Of a header whose length has 4 bytes; NumPy itself stops at 10,000.
constexpr uint32_t kLongestHeader = 65'535;

}  // namespace

// Element [i, j, …] of a Fortran-ordered array is element […, j, i] of the C-ordered array with the sizes
// reversed.
Tensor read_npy(const std::function<void(void*, size_t)>& read, uint64_t bytes, const std::string& where) {
  const auto read_text = [&](size_t count) {
    std::string text(count, ' ');
    read(text.data(), count);
    return text;
  };
  const size_t length_bytes = npy_length_bytes(read_text(kNpyMagicBytes), where);
  uint32_t header_bytes = 0;
  read(&header_bytes, length_bytes);
  if (header_bytes > kLongestHeader)
    throw InputError(concat(where, ": its header of ", header_bytes, " bytes is too long"));
  auto [dtype, fortran_order, shape] = parse_npy_header(read_text(header_bytes), where);

  // Compared before the tensor is allocated: a short file must not make us allocate terabytes.
  const auto data_bytes = byte_count(shape, dtype);
  const uint64_t before_data = kNpyMagicBytes + length_bytes + header_bytes;
  if (!data_bytes || before_data + static_cast<uint64_t>(*data_bytes) != bytes) {
    throw InputError(concat(where, ": damaged: its header does not fit its size of ", bytes, " bytes"));
  }
  if (fortran_order) std::ranges::reverse(shape);
  const Tensor data = tensor_from_bytes(shape, dtype, read);
  if (!fortran_order) return data;
  std::vector<int64_t> reversed(shape.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return data.permute(reversed).contiguous();
}

Tensor parse_npy(std::string_view bytes, const std::string& where) {
  const size_t size = bytes.size();
  const auto read = [&](void* to, size_t count) {
    if (count > bytes.size()) throw InputError(concat(where, ": is a truncated .npy; restore or remove it"));
    std::memcpy(to, bytes.data(), count);
    bytes.remove_prefix(count);
  };
  return read_npy(read, size, where);
}

std::string npy_bytes(const Tensor& array) {
  const Tensor stored = in_file_layout(array);
  std::string bytes = format_npy_header(stored.scalar_type(), stored.sizes().vec());
  return bytes.append(static_cast<const char*>(stored.data_ptr()), stored.nbytes());
}

}  // namespace cm
