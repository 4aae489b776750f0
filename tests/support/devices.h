// The devices that a test can run on here.
#pragma once

#include <vector>

#include "cm/base/gpus.h"
#include "cm/base/tensor.h"

namespace cm::test {

// The CPU, and a GPU where there is one.
inline std::vector<torch::Device> devices() {
  std::vector<torch::Device> all = {torch::kCPU};
  if (gpus().usable > 0) all.emplace_back(torch::kCUDA, 0);
  return all;
}

}  // namespace cm::test
