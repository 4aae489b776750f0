// The U-Nets of the field, by name and shape:
//
//   adm     Dhariwal & Nichol 2021 (arXiv 2105.05233), as the official release of consistency models has it
//   ddpmpp  DDPM++ of Song et al. 2021 (arXiv 2011.13456), as EDM has it
//   ncsnpp  NCSN++ of the same paper, as EDM has it
//
// each with the parameter names of the implementation that published its weights.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cm/base/limits.h"
#include "cm/nn/network.h"

namespace cm {

enum class Architecture { adm, ddpmpp, ncsnpp };

struct UNetOptions {
  Architecture architecture = Architecture::adm;
  int64_t channels = 64;
  std::vector<double> channel_mult = {1, 2, 2};
  int64_t res_blocks = 2;
  std::vector<int64_t> attention_resolutions = {16};
  int64_t heads = 1;
  std::optional<int64_t> head_channels;
  double dropout = 0;
  std::optional<bool> scale_shift_norm;
  bool double_norm = false;
  bool resblock_updown = true;
  bool conv_resample = true;
  std::optional<double> fourier_scale;
  bool activation_checkpointing = false;
};

template <class Visitor>
void fields(Visitor& visit, UNetOptions& o) {
  visit("architecture", o.architecture,
        "adm: the official release's; ddpmpp, ncsnpp: EDM's and the JAX release's for CIFAR-10");
  visit("channels", o.channels,
        "channels that channel_mult multiplies; the time embedding has 4 times as many",
        within(1, kMostChannels));
  visit("channel_mult", o.channel_mult, "one factor a level, each level half the size of the one before",
        Range{.min = 0, .max = kLargestMultiplier, .open_min = true});
  visit("res_blocks", o.res_blocks, "residual blocks a level", within(1, kMostBlocks));
  visit("attention_resolutions", o.attention_resolutions, "sides in pixels of the levels with self-attention",
        within(1, kLargestSide));
  visit("heads", o.heads, "attention heads, unless head_channels is given", within(1, kMostChannels));
  visit("head_channels", o.head_channels, "channels of one attention head", within(1, kMostChannels));
  visit("dropout", o.dropout, "dropout probability in every residual block", from_below(0, 1));
  visit(
      "scale_shift_norm", o.scale_shift_norm,
      "time embedding scales and shifts (FiLM); otherwise it is added. Default: true for adm, false for the "
      "others");
  visit("double_norm", o.double_norm,
        "scale and shift are themselves normalised over the channels (sCM's adaptive double normalization)");
  visit("resblock_updown", o.resblock_updown,
        "residual blocks change the resolution; false, for adm only: plain resampling");
  visit("conv_resample", o.conv_resample, "plain resampling has a convolution");
  visit("fourier_scale", o.fourier_scale,
        "ncsnpp: standard deviation of the noise embedding's random frequencies. Default: 16 (iCT: 0.02)",
        above(0));
  visit("activation_checkpointing", o.activation_checkpointing,
        "recompute blocks in the backward pass: less memory, about a third more time");
}

void validate(const UNetOptions& options, const Complain& complain);

// scale_shift_norm, or the architecture's default for it.
bool scales_and_shifts(const UNetOptions& options);

// Channels of a level, attention heads at a number of channels, and whether the level of this side attends.
int64_t channels_at(const UNetOptions& options, size_t level);
int64_t heads_at(const UNetOptions& options, int64_t channels);
bool attends_at(const UNetOptions& options, int64_t side);

// The rules that tie the network to the images: every level's side is whole, attention resolutions occur.
void validate_for(const UNetOptions& options, const ImageSpec& image, const Complain& complain);

// x and labels as forward() takes them, at the image's size or another that every level can halve; otherwise
// c10::Error.
void check_input(const UNetOptions& options, const ImageSpec& image, const Tensor& x, const Tensor& labels);

// `seed` decides the initial weights; without one all are 0, for a network that is loaded right after.
// InputError when the options do not fit the image.
std::shared_ptr<Network> make_unet(const UNetOptions& options, const ImageSpec& image,
                                   std::optional<uint64_t> seed = std::nullopt);

}  // namespace cm
