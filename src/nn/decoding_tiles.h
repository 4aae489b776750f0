// Decoding latents that do not fit into memory at once.
#pragma once

#include <functional>

#include "cm/base/tensor.h"

namespace cm {

// decode(z) of tiles of z [B, C, h, w] that are `tile` latents wide and high, or as small as z: each begins a
// quarter of a tile before its predecessor ends, the last earlier, so that it is whole too; over that quarter
// the image goes linearly from one to the next. `tile` is a multiple of 4.
Tensor decode_by_tiles(const Tensor& z, int64_t tile, const std::function<Tensor(const Tensor&)>& decode);

}  // namespace cm
