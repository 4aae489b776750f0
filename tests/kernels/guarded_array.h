// Memory for kernels that are run on the host.
#pragma once

#include <array>
#include <cmath>

#include "cm/base/tensor.h"

namespace cm::test {

// Of the numbers that kernels for GPUs take.
inline constexpr std::array kNumberTypes = {torch::kFloat32, torch::kFloat16, torch::kBFloat16};

// An array with numbers around it that nobody may read or write.
class Guarded {
 public:
  Guarded(const Tensor& flat, bool aligned)
      : all_(torch::full({flat.numel() + 2 * kMargin}, std::nan(""), flat.options())),
        inside_(all_.narrow(0, kMargin + (aligned ? 0 : 1), flat.numel())) {
    inside_.copy_(flat);
  }
  Guarded(int64_t size, torch::Dtype type, bool aligned = true)
      : Guarded(torch::full({size}, std::nan(""), type), aligned) {}

  void* data() const { return inside_.data_ptr(); }
  float* floats() const { return inside_.data_ptr<float>(); }
  const Tensor& inside() const { return inside_; }
  bool margins_are_whole() const {
    const int64_t rest = all_.numel() - inside_.numel();
    return all_.isnan().sum().item<int64_t>() == rest + inside_.isnan().sum().item<int64_t>() &&
           all_.narrow(0, 0, kMargin).isnan().all().item<bool>();
  }

 private:
  static constexpr int64_t kMargin = 64;
  Tensor all_;
  Tensor inside_;
};

}  // namespace cm::test
