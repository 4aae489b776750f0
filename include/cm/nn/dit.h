// A transformer over the patches of an image: DiT (Peebles & Xie 2022, arXiv 2212.09748) and SiT (Ma et al.
// 2024, arXiv 2401.08740), which share their network and their weights' names. Their sizes, as width, depth,
// heads: S 384, 12, 6; B 768, 12, 12; L 1024, 24, 16; XL 1152, 28, 16; patches of 2, 4 or 8 pixels.
#pragma once

#include <memory>

#include "cm/nn/layers.h"
#include "cm/nn/network.h"

namespace cm {

// Nothing is dropped, as published.
struct DitOptions : CommonNetworkOptions {
  static constexpr std::string_view kName = "dit";
  static constexpr std::string_view kHelp = "DiT's and SiT's transformer over patches";
  static constexpr double kTimeScale = 1000;

  int64_t width = 384;
  int64_t depth = 12;
  int64_t heads = 6;
  int64_t patch = 2;
  double mlp_ratio = 4;
  bool learned_variance = false;
  bool diffusers = false;
};

template <class Visitor>
void fields(Visitor& visit, DitOptions& o) {
  visit("width", o.width, "numbers of a token", within(1, kMostChannels));
  visit("depth", o.depth, "blocks", within(1, kMostBlocks));
  visit("heads", o.heads, "attention heads", within(1, kMostChannels));
  visit("patch", o.patch, "side in pixels of the patches that become tokens", within(1, kLargestSide));
  visit("mlp_ratio", o.mlp_ratio, "width of a block's hidden layer, in widths of a token",
        Range{.min = 0, .max = kLargestMultiplier, .open_min = true});
  visit("learned_variance", o.learned_variance,
        "the last layer has a second answer beside the first, which is dropped: published weights have it");
  visit("diffusers", o.diffusers,
        "compute as diffusers' DiTTransformer2DModel does: a time's frequencies end at 1/10000 itself, and a "
        "block's second normalisation adds 1e-5, where DiT's code adds 1e-6");
  fields(visit, static_cast<CommonNetworkOptions&>(o));
}

// Of a block's hidden layer.
int64_t mlp_width(const DitOptions& options);

void validate(const DitOptions& options, const Complain& complain);
// The side of the images divides into patches.
void validate_for(const DitOptions& options, const ImageSpec& image, const Complain& complain);
std::shared_ptr<Network> build(const DitOptions& options, const ImageSpec& image, Initializer initializer);
bool infer(const WeightShapes& weights, DitOptions& options, ImageSpec& image);

}  // namespace cm
