// The network that a set of weights belongs to, told from their names and shapes.
#pragma once

#include <map>
#include <string>

#include "cm/nn/unet.h"

namespace cm {

struct InferredNetwork {
  UNetOptions network;
  ImageSpec image;
};

// Architecture, channels, levels, blocks, attention, conditioning and resampling; image channels and classes.
// `weights` carry the names of our networks (only names and shapes are read). Shapes can't tell the number of
// attention heads and dropout, which keep their defaults, nor, for adm, the images' side in pixels:
// `image_size`. InputError, with `what` in front, when the names are those of no network of ours.
InferredNetwork infer_network(const std::map<std::string, Tensor>& weights, int64_t image_size,
                              const std::string& what);

}  // namespace cm
