#include "cm/training/distance_function.h"

namespace cm {

DistanceFunction make_distance(const DistanceChoice& choice, std::shared_ptr<const Lpips> lpips) {
  if (choice.kind == Distance::lpips) {
    TORCH_CHECK(lpips != nullptr, "distance lpips needs its network");
    return [lpips = std::move(lpips)](const Tensor& a, const Tensor& b) {
      return lpips->forward(lpips_sized(a), lpips_sized(b));
    };
  }
  return [choice](const Tensor& a, const Tensor& b) { return distance(choice.kind, a, b, choice.huber_c); };
}

}  // namespace cm
