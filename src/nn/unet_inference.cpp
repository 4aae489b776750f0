#include "cm/nn/unet_inference.h"

#include <algorithm>
#include <set>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

class Weights {
 public:
  Weights(const std::map<std::string, Tensor>& weights, std::string what)
      : weights_(weights), what_(std::move(what)) {}

  bool has(const std::string& name) const { return weights_.contains(name); }

  int64_t size(const std::string& name, int64_t dim) const {
    const auto found = weights_.find(name);
    if (found == weights_.end()) {
      throw InputError(concat(what_, ": weights of no network that is known here: ", name, " is missing"));
    }
    if (found->second.dim() <= dim || found->second.size(dim) == 0) {
      throw InputError(
          concat(what_, ": weights of no network that is known here: ", name, " is ", found->second.sizes()));
    }
    return found->second.size(dim);
  }

  // The numbers N of all names PREFIX<N>SUFFIX…
  std::set<int64_t> numbers(const std::string& prefix, const std::string& suffix) const {
    std::set<int64_t> found;
    for (auto entry = weights_.lower_bound(prefix); entry != weights_.end(); ++entry) {
      const std::string& name = entry->first;
      if (!name.starts_with(prefix)) break;
      const size_t end = name.find_first_not_of("0123456789", prefix.size());
      if (end == prefix.size() || end == std::string::npos || end > prefix.size() + 9) continue;
      if (name.compare(end, suffix.size(), suffix) != 0) continue;
      found.insert(std::stoll(name.substr(prefix.size(), end - prefix.size())));
    }
    return found;
  }

 private:
  const std::map<std::string, Tensor>& weights_;
  std::string what_;
};

double multiplier(int64_t channels, int64_t base) {
  return static_cast<double>(channels) / static_cast<double>(base);
}

// ADM: output block k goes up a level where a second residual block or a convolution follows.
int64_t adm_levels(const Weights& weights, int64_t output_blocks) {
  int64_t levels = 1;
  for (int64_t k = 0; k < output_blocks; ++k) {
    const std::string block = concat("output_blocks.", k, ".");
    const bool up = weights.has(block + "1.in_layers.0.weight") ||
                    weights.has(block + "2.in_layers.0.weight") || weights.has(block + "1.conv.weight") ||
                    weights.has(block + "2.conv.weight");
    if (up) ++levels;
  }
  // Plain resampling without a convolution has no weights: its places among the input blocks are empty.
  const auto input_blocks = static_cast<int64_t>(weights.numbers("input_blocks.", ".0.").size());
  return std::max(levels, output_blocks - input_blocks + 1);
}

InferredNetwork infer_adm(const Weights& weights, int64_t image_size) {
  UNetOptions network;
  network.architecture = Architecture::adm;
  network.channels = weights.size("time_embed.0.weight", 1);
  const auto output_blocks = static_cast<int64_t>(weights.numbers("output_blocks.", ".0.").size());
  if (output_blocks == 0) weights.size("output_blocks.0.0.in_layers.0.weight", 0);
  const int64_t levels = adm_levels(weights, output_blocks);
  // A level has res_blocks + 1 output blocks, and as many input blocks: its residual blocks and the one that
  // leads to it.
  const int64_t blocks = output_blocks / levels;
  network.res_blocks = blocks - 1;
  network.channel_mult.clear();
  network.attention_resolutions.clear();
  for (int64_t level = 0; level < levels; ++level) {
    const std::string block = concat("input_blocks.", level * blocks + 1, ".");
    const int64_t channels = weights.size(block + "0.out_layers.0.weight", 0);
    network.channel_mult.push_back(multiplier(channels, network.channels));
    if (weights.has(block + "1.qkv.weight")) network.attention_resolutions.push_back(image_size >> level);
  }
  const std::string first = "input_blocks.1.0.";
  network.scale_shift_norm =
      weights.size(first + "emb_layers.1.weight", 0) == 2 * weights.size(first + "out_layers.0.weight", 0);
  if (levels > 1) {
    const std::string down = concat("input_blocks.", blocks, ".0.");
    network.resblock_updown = weights.has(down + "in_layers.0.weight");
    network.conv_resample = network.resblock_updown || weights.has(down + "op.weight");
  }
  const bool labelled = weights.has("label_emb.weight");
  return {network,
          {.channels = weights.size("input_blocks.0.0.weight", 1),
           .size = image_size,
           .classes = labelled ? weights.size("label_emb.weight", 0) : 0}};
}

// DDPM++ and NCSN++: the names say the side of each level.
InferredNetwork infer_song(const Weights& weights) {
  UNetOptions network;
  const bool fourier = weights.has("map_noise.freqs");
  network.architecture = fourier ? Architecture::ncsnpp : Architecture::ddpmpp;
  const std::set<int64_t> ascending = weights.numbers("enc.", "x");
  if (ascending.empty()) weights.size("enc.32x32_conv.weight", 0);
  const std::vector<int64_t> sides(ascending.rbegin(), ascending.rend());
  const int64_t image_size = sides.front();
  const std::string first = concat("enc.", image_size, "x", image_size, "_");
  network.channels = weights.size(first + "conv.weight", 0);
  network.channel_mult.clear();
  network.attention_resolutions.clear();
  for (const int64_t side : sides) {
    const std::string level = concat("enc.", side, "x", side, "_block");
    network.channel_mult.push_back(multiplier(weights.size(level + "0.conv1.weight", 0), network.channels));
    network.res_blocks = static_cast<int64_t>(weights.numbers(level, ".").size());
    if (weights.has(level + "0.qkv.weight")) network.attention_resolutions.push_back(side);
  }
  network.scale_shift_norm =
      weights.size(first + "block0.affine.weight", 0) == 2 * weights.size(first + "block0.conv1.weight", 0);
  const bool labelled = weights.has("map_label.weight");
  return {network,
          {.channels = weights.size(first + "conv.weight", 1),
           .size = image_size,
           .classes = labelled ? weights.size("map_label.weight", 1) : 0}};
}

}  // namespace

InferredNetwork infer_network(const std::map<std::string, Tensor>& weights, int64_t image_size,
                              const std::string& what) {
  const Weights named(weights, what);
  if (named.has("map_layer0.weight")) return infer_song(named);
  return infer_adm(named, image_size);
}

}  // namespace cm
