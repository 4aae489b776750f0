#include "random_rows.h"

namespace cm {

Tensor random_rows(const Tensor& features, int64_t size, uint64_t seed, uint32_t step) {
  const RandomKey key{.seed = seed, .purpose = Purpose::evaluation, .step = step};
  const Tensor order = uniform(key, sample_range(0, features.size(0))).argsort().slice(0, 0, size);
  return features.index_select(0, order.to(features.device()));
}

}  // namespace cm
