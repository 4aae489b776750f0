#include "cm/distributed/spread.h"

#include <algorithm>
#include <optional>

#include "cm/base/progress.h"

namespace cm {

Share share_in_batches(int64_t count, int64_t batch, const World& world) {
  const Share batches = share_of((count + batch - 1) / batch, world);
  const int64_t first = std::min(count, batches.first * batch);
  const int64_t end = std::min(count, (batches.first + batches.count) * batch);
  return {.first = first, .count = end - first};
}

Tensor spread_batches(const World& world, int64_t count, int64_t batch,
                      const std::function<Tensor(int64_t first, int64_t n)>& make, const std::string& what) {
  const Share share = share_in_batches(count, batch, world);
  const int64_t end = share.first + share.count;
  std::optional<Progress> progress;
  if (!what.empty() && world.is_first()) progress.emplace(what, count);
  std::vector<Tensor> parts;
  for (int64_t first = share.first; first < end; first += batch) {
    parts.push_back(make(first, std::min(batch, end - first)).cpu());
    // The other ranks keep about the same pace.
    if (progress) progress->update(std::min(count, (first + parts.back().size(0)) * world.size()));
  }
  return world.gather(parts.empty() ? torch::empty({0}) : torch::cat(parts));
}

}  // namespace cm
