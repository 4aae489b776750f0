#include "cm/distributed/spread.h"

#include <algorithm>

namespace cm {

Tensor spread_batches(const World& world, int64_t count, int64_t batch,
                      const std::function<Tensor(int64_t first, int64_t n)>& make) {
  const Share share = share_of((count + batch - 1) / batch, world);
  std::vector<Tensor> parts;
  for (int64_t i = share.first; i < share.first + share.count; ++i) {
    parts.push_back(make(i * batch, std::min(batch, count - i * batch)).cpu());
  }
  return world.gather(parts.empty() ? torch::empty({0}) : torch::cat(parts));
}

}  // namespace cm
