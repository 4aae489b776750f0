#include "cm/nn/compute_type.h"

#include <ATen/Context.h>

#include <algorithm>

#include "cm/base/gpus.h"

namespace cm {

torch::Dtype number_type(ComputeType type) {
  switch (type) {
    case ComputeType::fp32:
    case ComputeType::tf32:
      return torch::kFloat32;
    case ComputeType::bf16:
      return torch::kBFloat16;
    case ComputeType::fp16:
      return torch::kFloat16;
  }
  TORCH_INTERNAL_ASSERT(false, "not a compute type");
}

void allow_tf32(ComputeType type) {
  at::globalContext().setAllowTF32CuBLAS(type == ComputeType::tf32);
  at::globalContext().setAllowTF32CuDNN(type != ComputeType::fp32);
}

bool has_tf32(const torch::Device& device) {
  constexpr int kAmpere = 8;
  if (!device.is_cuda()) return false;
  const auto index = static_cast<size_t>(std::max<int>(device.index(), 0));
  return index < gpus().generations.size() && gpus().generations[index] >= kAmpere;
}

}  // namespace cm
