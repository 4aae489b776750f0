// The smallest U-Nets that have all their parts: two levels of one block each, attention at half of 8 pixels.
#pragma once

#include "cm/nn/unet.h"

namespace cm::test {

inline UNetOptions small_unet(Architecture architecture = Architecture::adm) {
  UNetOptions options;
  options.architecture = architecture;
  options.channels = 32;
  options.channel_mult = {1, 2};
  options.res_blocks = 1;
  options.attention_resolutions = {4};
  return options;
}

}  // namespace cm::test
