#include "decoding_tiles.h"

#include <algorithm>

namespace cm {
namespace {

// From 0 towards 1 in the first `count` places of a dimension.
Tensor ramp_along(int64_t dim, int64_t count, const Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[static_cast<size_t>(dim)] = count;
  return (torch::arange(count, like.options()) / count).view(shape);
}

template <class Decode>
Tensor tiled_along(int64_t dim, const Tensor& z, int64_t tile, const Decode& decode) {
  const int64_t size = z.size(dim);
  if (size <= tile) return decode(z);
  Tensor whole;
  for (int64_t start = 0;;) {
    const Tensor part = decode(z.narrow(dim, start, tile));
    const int64_t factor = part.size(dim) / tile;
    if (!whole.defined()) {
      std::vector<int64_t> shape = part.sizes().vec();
      shape[static_cast<size_t>(dim)] = factor * size;
      whole = part.new_empty(shape);
    }
    const int64_t shared = start == 0 ? 0 : factor * tile / 4;
    const int64_t own = factor * tile - shared;
    whole.narrow(dim, factor * start, shared)
        .lerp_(part.narrow(dim, 0, shared), ramp_along(dim, shared, part));
    whole.narrow(dim, factor * start + shared, own).copy_(part.narrow(dim, shared, own));
    if (start + tile == size) return whole;
    start = std::min(start + tile - tile / 4, size - tile);
  }
}

}  // namespace

Tensor decode_by_tiles(const Tensor& z, int64_t tile, const std::function<Tensor(const Tensor&)>& decode) {
  return tiled_along(2, z, tile, [&](const Tensor& strip) { return tiled_along(3, strip, tile, decode); });
}

}  // namespace cm
