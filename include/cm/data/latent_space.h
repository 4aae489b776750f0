// The space that a model of latents lives in: of which VAE they are, and how they are normalised
// (docs/latents.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

// How a VAE is told pixels: from −1 to 1, as Stable Diffusion's was trained, or from 0 to 1, as EDM2 tells it
// them (NVlabs/edm2, training/encoders.py).
enum class PixelRange { symmetric, unit };

// What decides the latents of an image. They lie as dataset.json has them beside what cm-data encodes.
struct LatentOrigin {
  std::string vae_hash = "";  // of its weights (Autoencoder::hash); "" where nobody knows
  PixelRange pixels = PixelRange::symmetric;
};

template <class Visitor>
void fields(Visitor& visit, LatentOrigin& o) {
  visit("vae_hash", o.vae_hash, "SHA-256 of the VAE's weights");
  visit("pixels", o.pixels, "how the VAE is told pixels: symmetric (−1 to 1) or unit (0 to 1)");
}

// x = (z − mean) · scale / std, channel by channel; z is what the VAE's encoder gives.
struct LatentScaling {
  std::vector<double> mean = {};  // none: 0
  std::vector<double> std = {};   // none: 1
  double scale = 1;
};

template <class Visitor>
void fields(Visitor& visit, LatentScaling& o) {
  visit("mean", o.mean, "of the VAE's latents, a number a channel; default: 0");
  visit("std", o.std, "their standard deviation, a number a channel; default: 1", above(0));
  visit("scale", o.scale, "what the model sees is (z − mean) · scale / std", above(0));
}

struct LatentSpace : LatentOrigin, LatentScaling {};

template <class Visitor>
void fields(Visitor& visit, LatentSpace& o) {
  fields(visit, static_cast<LatentOrigin&>(o));
  fields(visit, static_cast<LatentScaling&>(o));
}

// Of a config: the space of its data, and what turns it into pictures.
struct LatentOptions : LatentScaling {
  std::optional<PixelRange> pixels = std::nullopt;  // none: as the data say
  std::optional<std::string> vae = std::nullopt;    // its folder
};

template <class Visitor>
void fields(Visitor& visit, LatentOptions& o) {
  fields(visit, static_cast<LatentScaling&>(o));
  visit("pixels", o.pixels,
        "how the VAE was told pixels: symmetric (−1 to 1) or unit (0 to 1, as EDM2 does); default: as the "
        "data say, where cm-data encoded them");
  visit("vae", o.vae,
        "folder of the VAE, which makes pictures of the run's samples; without it they show three channels");
}

// InputError, with `where` in front, where mean or std have another number of entries than the latents
// channels.
void check_scaling(const LatentScaling& scaling, int64_t channels, const std::string& where);

// x = z · factor + offset, each fp32 [L, 1, 1], as EDM2 computes it.
struct LatentMap {
  Tensor factor;
  Tensor offset;
};
LatentMap map_of(const LatentScaling& scaling, int64_t channels);

// z → x and back, of tensors fp32 [B, L, h, w] or [L, h, w].
Tensor normalised(const LatentScaling& scaling, const Tensor& z);
Tensor unnormalised(const LatentScaling& scaling, const Tensor& x);

// Why weights of the one space mean nothing in the other, in words: "… "; "" where they are the same. None is
// a model of pixels. A VAE that is not known is taken for the right one.
std::string difference(const std::optional<LatentSpace>& theirs, const std::optional<LatentSpace>& ours);

}  // namespace cm
