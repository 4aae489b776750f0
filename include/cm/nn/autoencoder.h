// The autoencoder whose latents latent diffusion works on: Rombach et al. 2021 (arXiv 2112.10752, §3.1), with
// the layers and the weights' names of diffusers' AutoencoderKL, as Stable Diffusion's is published. For
// inference; cm/training/autoencoder_folder.h reads one.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/nn/compute_type.h"
#include "cm/nn/layers.h"

namespace cm {

struct AutoencoderOptions {
  int64_t channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_channels = {128, 256, 512, 512};
  int64_t blocks = 2;
  int64_t groups = 32;
  bool mid_attention = true;
  bool quant_conv = true;
  bool post_quant_conv = true;
  double scaling_factor = 0.18215;
  double shift_factor = 0;
};

template <class Visitor>
void fields(Visitor& visit, AutoencoderOptions& o) {
  visit("channels", o.channels, "colour channels of the images", within(1, kMostChannels));
  visit("latent_channels", o.latent_channels, "channels of the latents", within(1, kMostChannels));
  visit("block_channels", o.block_channels,
        "channels of each level, from the images' on, each half the size of the one before",
        within(1, kMostChannels));
  visit("blocks", o.blocks, "residual blocks a level of the encoder; the decoder has one more",
        within(1, kMostBlocks));
  visit("groups", o.groups, "groups of the normalisations", within(1, kMostChannels));
  visit("mid_attention", o.mid_attention, "the lowest level attends to all of its positions");
  visit("quant_conv", o.quant_conv, "a 1 × 1 convolution follows the encoder");
  visit("post_quant_conv", o.post_quant_conv, "a 1 × 1 convolution precedes the decoder");
  visit("scaling_factor", o.scaling_factor,
        "diffusion works on (latents − shift_factor) · scaling_factor, whose deviation is about 1", above(0));
  visit("shift_factor", o.shift_factor, "of the same");
}

void validate(const AutoencoderOptions& options, const Complain& complain);

// f, the pixels of a latent's side: 2^(levels − 1).
int64_t downsampling(const AutoencoderOptions& options);

// N(mean, std²) of latents, each fp32 [B, latent_channels, H/f, W/f], before scaling_factor and shift_factor.
struct LatentMoments {
  Tensor mean;
  Tensor std;
};

// Tiles share a quarter.
inline constexpr int64_t kTileUnit = 4;

// How much is decoded at once, which bounds the memory that it takes.
struct DecodingLimits {
  // Images; their number changes nothing else.
  std::optional<int64_t> images = std::nullopt;
  // Side of a tile in latents, a multiple of kTileUnit. Larger latents are decoded tile by tile, each a
  // quarter over the one before and blended with it there: another image than the whole, since each tile is
  // normalised, and attends, by itself.
  std::optional<int64_t> tile = std::nullopt;
};

class AutoencoderEncoder;
class AutoencoderDecoder;

class Autoencoder : public torch::nn::Module {
 public:
  // All weights are 0, to be loaded (copy_weights), and frozen. `hash` is that of the file they come from.
  explicit Autoencoder(const AutoencoderOptions& options, std::string hash = {});

  // Images x fp32 [B, channels, H, W] in [−1, 1], H and W multiples of f. The logarithm of the variance is
  // clamped to [−30, 20]. c10::Error for another shape.
  LatentMoments encode(const Tensor& x) const;

  // Latents z fp32 [B, latent_channels, h, w], before scaling_factor and shift_factor → fp32 [B, channels,
  // f·h, f·w], about [−1, 1], not clamped. c10::Error for another shape.
  Tensor decode(const Tensor& z) const;

  // Converts the weights to the type for good. Normalisations and what is next to latents and images stay
  // fp32.
  void compute_in(ComputeType type);
  // InputError for no images and for a tile of another side.
  void limit_decoding(const DecodingLimits& limits);

  const AutoencoderOptions& options() const { return options_; }
  // SHA-256 of the weights' file, 64 hexadecimal digits, which latents keep to say whose they are; "" of
  // weights from no file.
  const std::string& hash() const { return hash_; }

 private:
  Tensor decode_whole(const Tensor& z) const;

  AutoencoderOptions options_;
  std::string hash_;
  DecodingLimits limits_;
  torch::Dtype type_ = torch::kFloat32;
  std::shared_ptr<AutoencoderEncoder> encoder_;
  std::shared_ptr<AutoencoderDecoder> decoder_;
  Conv2d quant_conv_ = nullptr;
  Conv2d post_quant_conv_ = nullptr;
};

}  // namespace cm
