#include "cm/training/image_codec.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

// As many as EDM2 decodes: more are hardly faster.
constexpr int64_t kAtOnce = 8;

Tensor in_range(const Tensor& images, PixelRange range) {
  return range == PixelRange::unit ? (images + 1) / 2 : images;
}

Tensor from_range(const Tensor& images, PixelRange range) {
  return range == PixelRange::unit ? 2 * images - 1 : images;
}

std::string start_of(const std::string& hash) {
  return hash.empty() ? "unknown" : hash.substr(0, 12) + "…";
}

}  // namespace

ImageCodec::ImageCodec(std::shared_ptr<Autoencoder> vae, const LatentSpace& space, int64_t channels,
                       const std::string& what)
    : vae_(std::move(vae)), space_(space), what_(what) {
  if (const int64_t theirs = vae_->options().latent_channels; theirs != channels) {
    throw InputError(concat(what_, ": is a VAE of latents of ", theirs, " channels, but these have ",
                            channels, "; name the folder of theirs"));
  }
  if (!space_.vae_hash.empty() && space_.vae_hash != vae_->hash()) {
    throw InputError(concat(what_, ": is another VAE (SHA-256 ", start_of(vae_->hash()),
                            ") than that of the latents (", start_of(space_.vae_hash),
                            "); name the folder of that one"));
  }
}

ImageSpec ImageCodec::images_of(const ImageSpec& made) const {
  if (!vae_) return made;
  const AutoencoderOptions& options = vae_->options();
  return {.channels = options.channels, .size = made.size * downsampling(options), .classes = made.classes};
}

Tensor ImageCodec::decode(const Tensor& x) const {
  if (!vae_) return x;
  const auto decoded = [&](int64_t n) {
    std::vector<Tensor> parts;
    for (const Tensor& part : x.split(n)) {
      const Tensor images = vae_->decode(unnormalised(space_, part));
      parts.push_back(from_range(images, space_.pixels).clamp(-1, 1));
    }
    return torch::cat(parts);
  };
  try {
    return no_grad([&] { return with_as_many_as_fit(kAtOnce, decoded); });
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw;
    throw InputError(concat(
        what_, ": decoding latents of ", x.size(2), " × ", x.size(3), " takes more memory than is free on ",
        x.device(), ", one at a time even; use a smaller --batch, tiles (--vae-tile 64), or --device cpu"));
  }
}

Tensor ImageCodec::encode(const Tensor& images) const {
  if (!vae_) return images;
  const auto encoded = [&](int64_t n) {
    std::vector<Tensor> parts;
    for (const Tensor& part : images.split(n)) {
      parts.push_back(moments_of_images(*vae_, space_.pixels, part).chunk(2, 1)[0]);
    }
    return normalised(space_, torch::cat(parts));
  };
  return no_grad([&] { return with_as_many_as_fit(kAtOnce, encoded); });
}

Tensor moments_of_images(const Autoencoder& vae, PixelRange range, const Tensor& images) {
  const LatentMoments moments = vae.encode(in_range(images, range));
  return torch::cat({moments.mean, moments.std}, 1);
}

Tensor with_as_many_as_fit(int64_t at_once, const std::function<Tensor(int64_t n)>& body) {
  for (int64_t n = at_once;; n /= 2) {
    try {
      return body(n);
    } catch (const c10::Error& error) {
      if (n == 1 || !is_out_of_memory(error)) throw;
    }
  }
}

}  // namespace cm
