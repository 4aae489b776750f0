// The "ADM" U-Net of Dhariwal & Nichol 2021 (arXiv 2105.05233) in the form that the official release of
// consistency models uses, with the release's parameter names, so that its weights load by name.
#pragma once

#include <memory>

#include "cm/nn/layers.h"
#include "cm/nn/unet_plan.h"

namespace cm {

struct AdmOptions : UNetOptions {
  static constexpr std::string_view kName = "adm";
  static constexpr std::string_view kHelp = "the official release's";
  static constexpr double kTimeScale = 1000;

  bool resblock_updown = true;
  bool conv_resample = true;
};

template <class Visitor>
void fields(Visitor& visit, AdmOptions& o) {
  fields(visit, static_cast<UNetOptions&>(o));
  visit("resblock_updown", o.resblock_updown,
        "residual blocks change the resolution; false: plain resampling");
  visit("conv_resample", o.conv_resample, "plain resampling has a convolution");
}

void validate(const AdmOptions& options, const Complain& complain);
UNetPlan plan_of(const AdmOptions& options, const ImageSpec& image);
std::shared_ptr<Network> build(const AdmOptions& options, const ImageSpec& image, Initializer initializer);
bool infer(const WeightShapes& weights, AdmOptions& options, ImageSpec& image);

}  // namespace cm
