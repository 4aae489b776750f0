// The architectures that a config or a weight file can name. An architecture is a struct of options with
//
//   kName, kHelp          as configs and help have it (OneOf in cm/base/fields.h)
//   kTimeScale            the network's time in units of EDM's c_noise, ¼ ln σ, as it was published
//   fields, validate      its options; they begin with CommonNetworkOptions
//   validate_for          the rules that tie it to the images
//   build                 the network; `options` have been checked
//   infer                 whether weights are its by their names, and then what names and shapes tell of it
//   plan_of               of a U-Net: its layers, by which its memory is counted (cm/nn/unet_plan.h)
//
// and the list of them is the one line below.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "cm/nn/adm_unet.h"
#include "cm/nn/dit.h"
#include "cm/nn/edm2_unet.h"
#include "cm/nn/song_unet.h"

namespace cm {

using NetworkOptions = std::variant<AdmOptions, DdpmppOptions, NcsnppOptions, Edm2Options, DitOptions>;

template <>
struct ChoiceOf<NetworkOptions> {
  static constexpr std::string_view key = "architecture";
};

CommonNetworkOptions& common_options(NetworkOptions& options);
const CommonNetworkOptions& common_options(const NetworkOptions& options);

double time_scale(const NetworkOptions& options);

void validate_for(const NetworkOptions& options, const ImageSpec& image, const Complain& complain);

// InputError with every mistake when the options break a rule or do not fit the image.
void check_fits(const NetworkOptions& options, const ImageSpec& image);

// `seed` decides the initial weights; without one all are 0, for a network that is loaded right after.
// InputError as check_fits.
std::shared_ptr<Network> make_network(const NetworkOptions& options, const ImageSpec& image,
                                      std::optional<uint64_t> seed = std::nullopt);

// Adds to weights of a network with one time what one with two times by `options` has besides, as `seed`
// begins it but for its ends, which are 0: that is the same function, wherever it is told to go. Those of
// networks with two times stay as they are.
void begin_second_time(std::map<std::string, Tensor>& weights, const NetworkOptions& options,
                       const ImageSpec& image, uint64_t seed);

struct InferredNetwork {
  NetworkOptions network;
  ImageSpec image;
};

// The network that a set of weights belongs to, told from their names and shapes: architecture, channels,
// levels, blocks, attention, conditioning and resampling; image channels and classes. Of incomplete weights
// the nearest, so that check_weights can name what they lack. Shapes can't tell the number of attention heads
// and dropout, which keep their defaults, nor, for adm, the images' side in pixels: `image_size`, > 0.
// InputError, with `what` in front, when they are those of no network of ours.
InferredNetwork infer_network(const WeightShapes& weights, int64_t image_size, const std::string& what);

}  // namespace cm
