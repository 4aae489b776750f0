// What the stages of EDM's and EDM2's U-Nets are called.
#pragma once

#include <string>
#include <vector>

#include "cm/nn/unet_plan.h"

namespace cm {

// enc.32x32_conv.
std::string edm_name(UNetStage::Section section, int64_t side, const std::string& what);

// enc.16x16_block1 is the second block of the level of 16 pixels.
void name_edm_stages(std::vector<UNetStage>& stages);

// The side of the images, which the name of the first convolution says; 0 where no weight is called so.
int64_t side_in_names(const WeightShapes& weights);

}  // namespace cm
