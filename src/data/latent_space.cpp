#include "cm/data/latent_space.h"

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

Tensor per_channel(const std::vector<double>& values, int64_t channels, double otherwise) {
  const std::vector<double> all =
      values.empty() ? std::vector(static_cast<size_t>(channels), otherwise) : values;
  return torch::tensor(all, torch::kFloat32).view({-1, 1, 1});
}

LatentMap map_for(const LatentScaling& scaling, const Tensor& like) {
  const auto [factor, offset] = map_of(scaling, like.size(-3));
  return {factor.to(like.device()), offset.to(like.device())};
}

std::string numbers(const std::vector<double>& values, double otherwise) {
  if (values.empty()) return shortest(otherwise);
  std::vector<std::string> words;
  for (const double value : values) words.push_back(shortest(value));
  return concat('[', join(words), ']');
}

std::string words_of(const LatentScaling& scaling) {
  return concat("(z − ", numbers(scaling.mean, 0), ") · ", shortest(scaling.scale), " / ",
                numbers(scaling.std, 1));
}

bool same(const LatentScaling& a, const LatentScaling& b) {
  return a.mean == b.mean && a.std == b.std && a.scale == b.scale;
}

}  // namespace

void check_scaling(const LatentScaling& scaling, int64_t channels, const std::string& where) {
  const auto check = [&](const char* key, const std::vector<double>& values) {
    if (values.empty() || static_cast<int64_t>(values.size()) == channels) return;
    throw InputError(concat(where, ".", key, " must have ", channels,
                            " numbers, one a channel of the latents, ", "got ", values.size()));
  };
  check("mean", scaling.mean);
  check("std", scaling.std);
}

LatentMap map_of(const LatentScaling& scaling, int64_t channels) {
  const Tensor factor = static_cast<float>(scaling.scale) / per_channel(scaling.std, channels, 1);
  return {factor, -per_channel(scaling.mean, channels, 0) * factor};
}

Tensor normalised(const LatentScaling& scaling, const Tensor& z) {
  const LatentMap map = map_for(scaling, z);
  return z * map.factor + map.offset;
}

Tensor unnormalised(const LatentScaling& scaling, const Tensor& x) {
  const LatentMap map = map_for(scaling, x);
  return (x - map.offset) / map.factor;
}

std::string difference(const std::optional<LatentSpace>& theirs, const std::optional<LatentSpace>& ours) {
  if (!theirs && !ours) return "";
  if (!theirs) return "a model of pixels, not of latents";
  if (!ours) return "a model of latents, not of pixels";
  const bool known = !theirs->vae_hash.empty() && !ours->vae_hash.empty();
  if (known && theirs->vae_hash != ours->vae_hash) {
    return concat("a model of the latents of another VAE (", theirs->vae_hash.substr(0, 12), "…, not ",
                  ours->vae_hash.substr(0, 12), "…)");
  }
  if (theirs->pixels != ours->pixels) {
    return concat("a model of latents of ", to_string(theirs->pixels), " pixels, not ",
                  to_string(ours->pixels));
  }
  if (same(*theirs, *ours)) return "";
  return concat("a model of latents that are normalised as ", words_of(*theirs), ", not ", words_of(*ours));
}

}  // namespace cm
