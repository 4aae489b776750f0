// NumPy's .npy: one array. The dtypes are those that cm/io/npz.h lists.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "cm/base/tensor.h"

namespace cm {

// The array that is `bytes` long with its header; `read` gives the bytes that come next. InputError, with
// `where` in front, when header and length don't fit, or the dtype is not one of these.
Tensor read_npy(const std::function<void(void* to, size_t bytes)>& read, uint64_t bytes,
                const std::string& where);

// The array of a file's bytes. The same errors.
Tensor parse_npy(std::string_view bytes, const std::string& where);

// The bytes of a file of it, in C order.
std::string npy_bytes(const Tensor& array);

}  // namespace cm
