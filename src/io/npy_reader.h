// A whole .npy array from a stream of bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cm/base/tensor.h"

namespace cm {

// The array that is `bytes` long with its header; `read` gives the bytes that come next. InputError, with
// `where` in front, when header and length don't fit, or the dtype is not one that cm/io/npz.h lists.
Tensor read_npy(const std::function<void(void* to, size_t bytes)>& read, uint64_t bytes,
                const std::string& where);

}  // namespace cm
