#include "cm/nn/song_unet.h"

#include <algorithm>
#include <cmath>

#include "cm/base/text.h"
#include "edm_names.h"
#include "unet.h"
#include "unet_inference.h"

namespace cm {
namespace {

using Section = UNetStage::Section;

constexpr double kDefaultFourierScale = 16;

constexpr UNetStyle kSongStyle = {
    .names = {"norm0", "conv0", "affine", "norm1", "conv1", "skip", "norm2", "qkv", "proj"},
    .groups = [](int64_t channels) { return std::min<int64_t>(32, channels / 4); },
    .epsilon = 1e-6,
    .glorot = true,
    .halves_variance = true,
    .skip_resamples = true};

bool song_scales_and_shifts(const UNetOptions& options) {
  return options.scale_shift_norm.value_or(false);
}

// The first convolution makes `channels`, of which the embedding's first layer takes a multiple.
void read_feature_mult(const WeightShapes& weights, SongOptions& options, const ImageSpec& image) {
  const UNetPlan plan = plan_of(options, image);
  const auto first = weights.find(plan.stages.front().name + ".weight");
  const auto embedding = weights.find(plan.embedding + ".weight");
  if (first == weights.end() || embedding == weights.end() || embedding->second.dim() != 2) return;
  const int64_t mult = embedding->second.size(1) / first->second.size(0);
  const int64_t published = plan.features / options.channels;
  if (mult > 0 && mult != published) options.feature_mult = mult;
}

}  // namespace

void validate(const SongOptions& options, const Complain& complain) {
  validate_unet(options, song_scales_and_shifts(options), complain);
  if (options.channels % 32 != 0) {
    complain("channels", concat("must be a multiple of 32, which the first convolution of architecture ",
                                options.is_ncsnpp ? NcsnppOptions::kName : DdpmppOptions::kName, " has, got ",
                                options.channels));
  }
}

UNetPlan plan_of(const SongOptions& options, const ImageSpec& image) {
  UNetPlan plan{.stages = unet_stages(options, image,
                                      {.first_channels = options.channels,
                                       .attention_apart = false,
                                       .attends_once_up = true,
                                       .shrinks_image = options.is_ncsnpp}),
                .style = kSongStyle,
                .output_norm = edm_name(Section::decoder, image.size, "aux_norm"),
                .output_conv = edm_name(Section::decoder, image.size, "aux_conv"),
                .embedding = "map_layer0",
                .embedding_end = "map_layer1",
                .labels = "map_label",
                .features = options.channels * options.feature_mult.value_or(options.is_ncsnpp ? 2 : 1),
                .labels_are_linear = true,
                .embedding_width = 4 * options.channels,
                .scale_shift_norm = song_scales_and_shifts(options)};
  plan.style.filter =
      options.resample_filter.value_or(options.is_ncsnpp ? ResampleFilter::binomial : ResampleFilter::box);
  name_edm_stages(plan.stages);
  return plan;
}

std::shared_ptr<Network> build(const SongOptions& options, const ImageSpec& image, Initializer initializer) {
  const UNetPlan plan = plan_of(options, image);
  const auto make_embedding = [&](torch::nn::Module& network, Initializer& weights) -> EmbeddingFunction {
    const auto linear = [&](const std::string& name, int64_t in, int64_t out, double gain = 1) {
      return network.register_module(name, Linear(weights, in, out, gain));
    };
    const auto scale_of_random = options.fourier_scale.value_or(kDefaultFourierScale);
    const auto time = network.register_module(
        "map_noise", NoiseFeatures(weights, plan.features,
                                   options.is_ncsnpp ? std::optional(scale_of_random) : std::nullopt));
    Linear classes = nullptr;
    if (image.classes > 0) classes = linear(plan.labels, image.classes, plan.features);
    const int64_t width = plan.embedding_width;
    const auto first = linear(plan.embedding, plan.features, width,
                              options.second_time ? joint_gain(plan.features, width) : 1);
    const auto last = linear(plan.embedding_end, width, width);
    SecondTime second = nullptr;
    if (options.second_time)
      second = network.register_module(kSecondTime, SecondTime(weights, plan.features, width, 1));
    // Of a one-hot vector times √classes; of zeros for the null class, as in EDM.
    const double scale = std::sqrt(static_cast<double>(image.classes));
    return [=](const Conditioning& told) {
      Tensor features = time->forward(told.time);
      if (!classes.is_empty())
        features = features + class_rows(classes->weight.t(), told.labels) * scale + classes->bias;
      Tensor embedding = first->forward(features);
      if (!second.is_empty())
        embedding = embedding + second->forward(time->forward(told.time - told.second_time));
      return activated(last->forward(activated(embedding, Activation::silu)), Activation::silu);
    };
  };
  return make_unet(plan, options, image, make_embedding, initializer);
}

bool infer(const WeightShapes& weights, SongOptions& options, ImageSpec& image) {
  image.size = side_in_names(weights);
  if (image.size == 0 || weights.contains("map_noise.freqs") != options.is_ncsnpp) return false;
  read_feature_mult(weights, options, image);
  options.second_time = has_second_time(weights);
  return infer_unet(weights, planner_of(options), options, image).has_value();
}

}  // namespace cm
