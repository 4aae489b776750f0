#include "cm/nn/unet_options.h"

#include <algorithm>

#include "cm/base/text.h"
#include "cm/nn/unet_plan.h"

namespace cm {

void validate_levels(const UNetOptions& options, int64_t unit, const std::string& reason,
                     const Complain& complain) {
  if (options.channel_mult.empty()) complain("channel_mult", "must name at least one level");
  for (size_t level = 0; level < options.channel_mult.size(); ++level) {
    const int64_t channels = channels_at(options, level);
    if (channels % unit != 0 || channels == 0) {
      complain("channel_mult", concat("must give every level a multiple of ", unit, " channels (", reason,
                                      "), got ", channels, " at level ", level));
      continue;
    }
    const int64_t divisor = options.head_channels.value_or(options.heads);
    if (channels % divisor != 0) {
      complain(options.head_channels ? "head_channels" : "heads",
               concat("must divide the channels of every level (", channels, " at level ", level, "), got ",
                      divisor));
    }
  }
}

void validate_unet(const UNetOptions& options, bool scale_shift_norm, const Complain& complain) {
  validate_levels(options, 32, "group normalisation has 32 groups", complain);
  if (options.double_norm && !scale_shift_norm) {
    complain("double_norm", "normalises scale and shift: it needs scale_shift_norm true");
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

}  // namespace cm
