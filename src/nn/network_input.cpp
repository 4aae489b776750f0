#include "network_input.h"

namespace cm {

void check_network_input(const ImageSpec& image, int64_t unit, const Tensor& x, const Tensor& labels) {
  TORCH_CHECK(x.dim() == 4 && x.size(1) == image.channels && x.size(2) % unit == 0 && x.size(3) % unit == 0,
              "the network takes [B, ", image.channels, ", ", image.size, ", ", image.size, "], got ",
              x.sizes());
  TORCH_CHECK(labels.defined() == (image.classes > 0), image.classes > 0
                                                           ? "a class-conditional network needs labels"
                                                           : "this network takes no labels");
}

}  // namespace cm
