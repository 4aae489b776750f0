#include "cm/nn/unet.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/nn/adm_unet.h"
#include "cm/nn/song_unet.h"

namespace cm {

bool scales_and_shifts(const UNetOptions& options) {
  return options.scale_shift_norm.value_or(options.architecture == Architecture::adm);
}

int64_t channels_at(const UNetOptions& options, size_t level) {
  return static_cast<int64_t>(static_cast<double>(options.channels) * options.channel_mult[level]);
}

int64_t heads_at(const UNetOptions& options, int64_t channels) {
  return options.head_channels ? channels / *options.head_channels : options.heads;
}

bool attends_at(const UNetOptions& options, int64_t side) {
  return std::ranges::find(options.attention_resolutions, side) != options.attention_resolutions.end();
}

void validate(const UNetOptions& options, const Complain& complain) {
  if (options.channel_mult.empty()) complain("channel_mult", "must name at least one level");
  for (size_t level = 0; level < options.channel_mult.size(); ++level) {
    const int64_t channels = channels_at(options, level);
    if (channels % 32 != 0 || channels == 0) {
      complain("channel_mult",
               concat("must give every level a multiple of 32 channels (group normalisation has 32 "
                      "groups), got ",
                      channels, " at level ", level));
      continue;
    }
    const int64_t divisor = options.head_channels.value_or(options.heads);
    if (channels % divisor != 0) {
      complain(options.head_channels ? "head_channels" : "heads",
               concat("must divide the channels of every level (", channels, " at level ", level, "), got ",
                      divisor));
    }
  }
  if (options.fourier_scale && options.architecture != Architecture::ncsnpp) {
    complain("fourier_scale", concat("belongs to architecture ncsnpp, but architecture is ",
                                     to_string(options.architecture), "; remove it"));
  }
  if (options.double_norm && !scales_and_shifts(options)) {
    complain("double_norm", "normalises scale and shift: it needs scale_shift_norm true");
  }
  if (options.architecture == Architecture::adm) return;
  if (!options.resblock_updown) {
    complain("resblock_updown", concat("must be true for architecture ", to_string(options.architecture),
                                       ", whose residual blocks change the resolution"));
  }
  if (options.channels % 32 != 0) {
    complain("channels", concat("must be a multiple of 32, which the first convolution of architecture ",
                                to_string(options.architecture), " has, got ", options.channels));
  }
}

void validate_for(const UNetOptions& options, const ImageSpec& image, const Complain& complain) {
  const size_t halvings = options.channel_mult.size() - std::min<size_t>(1, options.channel_mult.size());
  const int64_t factor = int64_t{1} << std::min<size_t>(halvings, 62);  // no side divides by 2⁶²
  if (image.size % factor != 0) {
    complain("channel_mult", concat("has ", options.channel_mult.size(), " levels, which halve a side of ",
                                    image.size, " pixels ", halvings, " times: it must divide by ", factor));
    return;
  }
  std::vector<std::string> sides;
  for (int64_t side = image.size; side >= image.size / factor; side /= 2)
    sides.push_back(std::to_string(side));
  for (const int64_t side : options.attention_resolutions) {
    if (std::ranges::find(sides, std::to_string(side)) == sides.end()) {
      complain("attention_resolutions",
               concat("must be among the sides of the levels {", join(sides), "}, got ", side));
    }
  }
}

void check_input(const UNetOptions& options, const ImageSpec& image, const Tensor& x, const Tensor& labels) {
  const int64_t factor = int64_t{1} << (options.channel_mult.size() - 1);
  TORCH_CHECK(
      x.dim() == 4 && x.size(1) == image.channels && x.size(2) % factor == 0 && x.size(3) % factor == 0,
      "the network takes [B, ", image.channels, ", ", image.size, ", ", image.size, "], got ", x.sizes());
  TORCH_CHECK(labels.defined() == (image.classes > 0), image.classes > 0
                                                           ? "a class-conditional network needs labels"
                                                           : "this network takes no labels");
}

std::shared_ptr<Network> make_unet(const UNetOptions& options, const ImageSpec& image,
                                   std::optional<uint64_t> seed) {
  std::vector<std::string> mistakes;
  const auto complain = [&](const std::string& key, const std::string& sentence) {
    mistakes.push_back(concat(key, " ", sentence));
  };
  validate(options, complain);
  validate_for(options, image, complain);
  if (!mistakes.empty()) throw InputError(mistakes);
  switch (options.architecture) {
    case Architecture::adm:
      return make_adm_unet(options, image, Initializer(seed));
    case Architecture::ddpmpp:
    case Architecture::ncsnpp:
      return make_song_unet(options, image, Initializer(seed));
  }
  TORCH_INTERNAL_ASSERT(false, "not an architecture");
}

}  // namespace cm
