// Between what a model makes and images. A model of pixels makes images; what a model of latents makes is
// normalised (cm/data/latent_space.h), and a VAE decodes it (docs/latents.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cm/data/latent_space.h"
#include "cm/nn/autoencoder.h"
#include "cm/nn/network.h"

namespace cm {

class ImageCodec {
 public:
  // Of a model of pixels: images go through as they are.
  ImageCodec() = default;

  // Of a model of latents of this space and so many channels, by its VAE, which `what` names in messages.
  // InputError where that is of other latents.
  ImageCodec(std::shared_ptr<Autoencoder> vae, const LatentSpace& space, int64_t channels,
             const std::string& what);

  bool of_latents() const { return vae_ != nullptr; }
  // SHA-256 of the VAE's weights; "" of a model of pixels.
  std::string hash() const { return vae_ ? vae_->hash() : ""; }

  // The images of a model that makes `made`.
  ImageSpec images_of(const ImageSpec& made) const;

  // What a model makes, fp32 [B, C, H, W] → images fp32 [B, C′, f·H, f·W] in [−1, 1] on its device. As many
  // at once as fit into memory. InputError, with the remedy, where not even one does.
  Tensor decode(const Tensor& x) const;

  // Images fp32 [B, C′, H, W] in [−1, 1] → what a model sees: of latents the mean of what their VAE gives.
  Tensor encode(const Tensor& images) const;

 private:
  std::shared_ptr<Autoencoder> vae_;  // null for pixels
  LatentSpace space_;
  std::string what_;
};

// Means and then standard deviations, fp32 [B, 2 · L, H/f, W/f], that a VAE's encoder gives for images fp32
// [B, C, H, W] in [−1, 1] when it is told them in `range`.
Tensor moments_of_images(const Autoencoder& vae, PixelRange range, const Tensor& images);

// Calls body(n) for n = `at_once`, and as long as it finds no memory, on any device, half as many; what the
// first that ends without gives. Where one is too many, what it threw.
Tensor with_as_many_as_fit(int64_t at_once, const std::function<Tensor(int64_t n)>& body);

}  // namespace cm
