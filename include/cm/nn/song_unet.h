// DDPM++ and NCSN++ of Song et al. 2021 (arXiv 2011.13456) in the form that EDM (Karras et al. 2022, arXiv
// 2206.00364, Appendix F.1) uses, with EDM's parameter names.
#pragma once

#include <memory>

#include "cm/nn/layers.h"
#include "cm/nn/unet_plan.h"

namespace cm {

// Of both; `fourier_scale` is NCSN++'s alone.
struct SongOptions : UNetOptions {
  bool is_ncsnpp = false;
  std::optional<double> fourier_scale;
  std::optional<int64_t> feature_mult;
  std::optional<ResampleFilter> resample_filter;
};

template <class Visitor>
void fields(Visitor& visit, SongOptions& o) {
  fields(visit, static_cast<UNetOptions&>(o));
  visit("feature_mult", o.feature_mult,
        "features of a time, as a multiple of channels. Default: 1, ncsnpp 2 (MeanFlow: 2)", within(1, 16));
  visit("resample_filter", o.resample_filter,
        "of what halves and doubles the side. Default: box, ncsnpp binomial (MeanFlow: binomial)");
}

struct DdpmppOptions : SongOptions {
  static constexpr std::string_view kName = "ddpmpp";
  static constexpr std::string_view kHelp = "DDPM++, EDM's and the JAX release's for CIFAR-10";
  static constexpr double kTimeScale = 1;
};

struct NcsnppOptions : SongOptions {
  static constexpr std::string_view kName = "ncsnpp";
  static constexpr std::string_view kHelp = "NCSN++, of the same";
  static constexpr double kTimeScale = 1;

  NcsnppOptions() { is_ncsnpp = true; }
};

template <class Visitor>
void fields(Visitor& visit, NcsnppOptions& o) {
  fields(visit, static_cast<SongOptions&>(o));
  visit("fourier_scale", o.fourier_scale,
        "standard deviation of the noise embedding's random frequencies. Default: 16 (iCT: 0.02)", above(0));
}

void validate(const SongOptions& options, const Complain& complain);
UNetPlan plan_of(const SongOptions& options, const ImageSpec& image);
std::shared_ptr<Network> build(const SongOptions& options, const ImageSpec& image, Initializer initializer);
bool infer(const WeightShapes& weights, SongOptions& options, ImageSpec& image);

}  // namespace cm
