// An element type by the name that a file format gives it.
#pragma once

#include <torch/types.h>

#include <string_view>

namespace cm {

struct NamedDtype {
  torch::ScalarType type;
  std::string_view name;
};

}  // namespace cm
