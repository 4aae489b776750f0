// What the options of all U-Nets have in common. An architecture (cm/nn/networks.h) adds its own.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cm/base/limits.h"
#include "cm/nn/network.h"

namespace cm {

struct UNetOptions : CommonNetworkOptions {
  int64_t channels = 64;
  std::vector<double> channel_mult = {1, 2, 2};
  int64_t res_blocks = 2;
  std::vector<int64_t> attention_resolutions = {16};
  int64_t heads = 1;
  std::optional<int64_t> head_channels;
  std::optional<bool> scale_shift_norm;
  bool double_norm = false;
};

template <class Visitor>
void fields(Visitor& visit, UNetOptions& o) {
  visit("channels", o.channels, "channels that channel_mult multiplies", within(1, kMostChannels));
  visit("channel_mult", o.channel_mult, "one factor a level, each level half the size of the one before",
        Range{.min = 0, .max = kLargestMultiplier, .open_min = true});
  visit("res_blocks", o.res_blocks, "residual blocks a level", within(1, kMostBlocks));
  visit("attention_resolutions", o.attention_resolutions, "sides in pixels of the levels with self-attention",
        within(1, kLargestSide));
  visit("heads", o.heads, "attention heads, unless head_channels is given", within(1, kMostChannels));
  visit("head_channels", o.head_channels, "channels of one attention head", within(1, kMostChannels));
  visit("dropout", o.dropout, "dropout probability in every residual block", from_below(0, 1));
  visit("scale_shift_norm", o.scale_shift_norm,
        "time embedding scales and shifts (FiLM); otherwise it is added. null: as the architecture was "
        "published");
  visit("double_norm", o.double_norm,
        "scale and shift are themselves normalised over the channels (sCM's adaptive double normalization)");
  fields(visit, static_cast<CommonNetworkOptions&>(o));
}

// The rules of levels and attention: every level has a multiple of `unit` channels, which is so because of
// `reason`, and whole heads.
void validate_levels(const UNetOptions& options, int64_t unit, const std::string& reason,
                     const Complain& complain);

// The rules of those with group normalisation, `scale_shift_norm` being the options' own or the
// architecture's default.
void validate_unet(const UNetOptions& options, bool scale_shift_norm, const Complain& complain);

// The rules that tie the network to the images: every level's side is whole, attention resolutions occur.
void validate_for(const UNetOptions& options, const ImageSpec& image, const Complain& complain);

}  // namespace cm
