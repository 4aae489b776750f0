#include "cm/bench/network_flops.h"

#include "cm/bench/network_memory.h"

namespace cm {

double forward_flops(const UNetOptions& options, const ImageSpec& image) {
  TORCH_CHECK(options.architecture == Architecture::adm, "counts the ADM U-Net's operations only");
  return sizes_of(options, image, Kernels::fused).flops;
}

}  // namespace cm
