// The classes that a command line asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cm/base/tensor.h"

namespace cm {

// The labels of `count` images: the list in `classes` ("3", "3,5"; "all", the default: every class) repeated
// in order, int64 [count]. InputError for what is no list of classes in [0, available). Undefined for a model
// without classes.
Tensor class_labels(const std::optional<std::string>& classes, int64_t available, int64_t count);

}  // namespace cm
