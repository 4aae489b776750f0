#include "cm/nn/autoencoder.h"

#include <algorithm>

#include "autoencoder_blocks.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "decoding_tiles.h"

namespace cm {
namespace {

constexpr size_t kMostAutoencoderLevels = 12;
constexpr double kLeastLogVariance = -30;
constexpr double kMostLogVariance = 20;

Conv2d pointwise(torch::nn::Module& root, const std::string& name, int64_t channels) {
  Initializer zero;
  return register_at(root, name, Conv2d(zero, Conv2dOptions{.in = channels, .out = channels, .kernel = 1}));
}

}  // namespace

void validate(const AutoencoderOptions& options, const Complain& complain) {
  const auto& channels = options.block_channels;
  if (channels.empty() || channels.size() > kMostAutoencoderLevels) {
    complain("block_channels", concat("must name 1 to ", kMostAutoencoderLevels, " levels"));
  }
  const bool fit = std::ranges::all_of(channels, [&](int64_t width) {
    return width > 0 && width <= kMostChannels && width % options.groups == 0;
  });
  if (!fit) {
    complain("block_channels", concat("must be up to ", kMostChannels,
                                      " in multiples of the groups of normalisation (", options.groups, ")"));
  }
}

int64_t downsampling(const AutoencoderOptions& options) {
  return int64_t{1} << (options.block_channels.size() - 1);
}

Autoencoder::Autoencoder(const AutoencoderOptions& options, std::string hash)
    : options_(options), hash_(std::move(hash)) {
  refuse_mistakes("autoencoder.", [&](const Complain& complain) { validate(options, complain); });
  encoder_ = register_module("encoder", std::make_shared<AutoencoderEncoder>(options));
  decoder_ = register_module("decoder", std::make_shared<AutoencoderDecoder>(options));
  if (options.quant_conv) quant_conv_ = pointwise(*this, "quant_conv", 2 * options.latent_channels);
  if (options.post_quant_conv)
    post_quant_conv_ = pointwise(*this, "post_quant_conv", options.latent_channels);
  for (auto& parameter : parameters()) parameter.requires_grad_(false);
}

LatentMoments Autoencoder::encode(const Tensor& x) const {
  const int64_t f = downsampling(options_);
  TORCH_CHECK(x.dim() == 4 && x.size(1) == options_.channels && x.size(2) % f == 0 && x.size(3) % f == 0,
              "the autoencoder takes images [B, ", options_.channels, ", H, W] with sides in multiples of ",
              f, ", got ", x.sizes());
  Tensor moments = encoder_->forward(x, type_);
  if (!quant_conv_.is_empty()) moments = quant_conv_->forward(moments);
  const auto parts = moments.contiguous().chunk(2, 1);
  const Tensor log_variance = parts[1].clamp(kLeastLogVariance, kMostLogVariance);
  return {.mean = parts[0].contiguous(), .std = (0.5 * log_variance).exp()};
}

Tensor Autoencoder::decode(const Tensor& z) const {
  TORCH_CHECK(z.dim() == 4 && z.size(1) == options_.latent_channels, "the autoencoder takes latents [B, ",
              options_.latent_channels, ", h, w], got ", z.sizes());
  const int64_t at_once = limits_.images.value_or(std::max<int64_t>(1, z.size(0)));
  std::vector<Tensor> images;
  for (const Tensor& part : z.split(at_once)) {
    images.push_back(limits_.tile ? decode_by_tiles(part, *limits_.tile,
                                                    [this](const Tensor& tile) { return decode_whole(tile); })
                                  : decode_whole(part));
  }
  return images.size() == 1 ? images.front() : torch::cat(images);
}

Tensor Autoencoder::decode_whole(const Tensor& z) const {
  const Tensor latents = post_quant_conv_.is_empty() ? z : post_quant_conv_->forward(z);
  return decoder_->forward(latents, type_).contiguous();
}

void Autoencoder::compute_in(ComputeType type) {
  type_ = number_type(type);
  encoder_->hold(type_);
  decoder_->hold(type_);
}

void Autoencoder::limit_decoding(const DecodingLimits& limits) {
  if (limits.images && *limits.images < 1) {
    throw InputError(concat("images decoded at once must be at least 1, got ", *limits.images));
  }
  if (limits.tile && (*limits.tile < kTileUnit || *limits.tile % kTileUnit != 0)) {
    throw InputError(
        concat("the side of a tile must be a multiple of ", kTileUnit, " latents, got ", *limits.tile));
  }
  limits_ = limits;
}

}  // namespace cm
