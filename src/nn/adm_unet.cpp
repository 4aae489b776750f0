#include "cm/nn/adm_unet.h"

#include "cm/base/text.h"
#include "unet.h"
#include "unet_inference.h"

namespace cm {
namespace {

using Section = UNetStage::Section;

constexpr UNetStyle kAdmStyle = {.names = {"in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0",
                                           "out_layers.3", "skip_connection", "norm", "qkv", "proj_out"},
                                 .groups = [](int64_t) { return int64_t{32}; },
                                 .epsilon = 1e-5,
                                 .glorot = false,
                                 .halves_variance = false,
                                 .skip_resamples = false};

const char* section_name(Section section) {
  switch (section) {
    case Section::encoder:
      return "input_blocks.";
    case Section::middle:
      return "middle_block.";
    case Section::decoder:
      return "output_blocks.";
  }
  TORCH_INTERNAL_ASSERT(false, "not a section");
}

// input_blocks.3.1 is the second stage between the third end and the fourth of skip connections.
void name_adm_stages(std::vector<UNetStage>& stages) {
  int64_t group = 0;
  int64_t place = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    UNetStage& stage = stages[i];
    const bool begins = i == 0 || stage.section != stages[i - 1].section;
    if (begins || stages[i - 1].opens || stage.closes) {
      group = begins ? 0 : group + 1;
      place = 0;
    }
    stage.name = section_name(stage.section);
    if (stage.section != Section::middle) stage.name += concat(group, ".");
    stage.name += std::to_string(place++);
    if (stage.kind != UNetStage::Kind::convolution || stage.resample == Resample::none) continue;
    stage.name += stage.resample == Resample::down ? ".op" : ".conv";
  }
}

UNetStage::Kind resampling_of(const AdmOptions& options) {
  if (options.resblock_updown) return UNetStage::Kind::block;
  return options.conv_resample ? UNetStage::Kind::convolution : UNetStage::Kind::resampling;
}

bool scales_and_shifts(const AdmOptions& options) {
  return options.scale_shift_norm.value_or(true);
}

}  // namespace

void validate(const AdmOptions& options, const Complain& complain) {
  validate_unet(options, scales_and_shifts(options), complain);
}

UNetPlan plan_of(const AdmOptions& options, const ImageSpec& image) {
  UNetPlan plan{.stages = unet_stages(options, image,
                                      {.first_channels = channels_at(options, 0),
                                       .attention_apart = true,
                                       .attends_once_up = false,
                                       .resampling = resampling_of(options)}),
                .style = kAdmStyle,
                .output_norm = "out.0",
                .output_conv = "out.2",
                .embedding = "time_embed.0",
                .embedding_end = "time_embed.2",
                .labels = "label_emb",
                .features = options.channels,
                .labels_are_linear = false,
                .embedding_width = 4 * options.channels,
                .scale_shift_norm = scales_and_shifts(options)};
  name_adm_stages(plan.stages);
  return plan;
}

std::shared_ptr<Network> build(const AdmOptions& options, const ImageSpec& image, Initializer initializer) {
  UNetPlan plan = plan_of(options, image);
  const auto make_embedding = [&](torch::nn::Module& network, Initializer& weights) -> EmbeddingFunction {
    const int64_t width = plan.embedding_width;
    const auto in = register_at(network, plan.embedding, Linear(weights, plan.features, width));
    const auto out = register_at(network, plan.embedding_end, Linear(weights, width, width));
    Embedding classes = nullptr;
    if (image.classes > 0)
      classes = register_at(network, plan.labels, Embedding(weights, image.classes, width));
    SecondTime second = nullptr;
    if (options.second_time)
      second = register_at(network, kSecondTime, SecondTime(weights, plan.features, width));
    return [in, out, classes, second, features = plan.features](const Conditioning& told) {
      Tensor first = in->forward(time_features(told.time, features));
      if (!second.is_empty())
        first = first + second->forward(time_features(told.time - told.second_time, features));
      const Tensor time = out->forward(activated(first, Activation::silu));
      return activated(classes.is_empty() ? time : time + classes->forward(told.labels), Activation::silu);
    };
  };
  return make_unet(plan, options, image, make_embedding, initializer);
}

bool infer(const WeightShapes& weights, AdmOptions& options, ImageSpec& image) {
  std::optional<int64_t> least;
  for (const auto& [updown, conv] : {std::pair(true, true), {false, true}, {false, false}}) {
    AdmOptions candidate = options;
    candidate.resblock_updown = updown;
    candidate.conv_resample = conv;
    const auto difference = infer_unet(weights, planner_of(candidate), candidate, image);
    if (!difference || (least && *least <= *difference)) continue;
    least = difference;
    options = candidate;
  }
  options.second_time = has_second_time(weights);
  return least.has_value();
}

}  // namespace cm
