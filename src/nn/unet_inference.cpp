#include "unet_inference.h"

#include <algorithm>
#include <utility>

#include "cm/base/text.h"
#include "unet.h"

namespace cm {
namespace {

using Kind = UNetStage::Kind;

class Candidate {
 public:
  Candidate(const WeightShapes& weights, const Planner& plan_of, UNetOptions& common, ImageSpec& image)
      : weights_(weights), plan_of_(plan_of), common_(common), image_(image) {
    common_.channel_mult = {1};
    plan();
    const std::string end = concat(".", names().in_conv, ".weight");
    blocks_ = std::ranges::count_if(weights, [&](const auto& entry) { return entry.first.ends_with(end); });
  }

  int64_t blocks_of_weights() const { return blocks_; }
  bool has_embedding() const { return size(plan_.embedding, 1) >= features_a_channel(); }

  // What the first and the last layers tell, whatever lies between.
  void read_ends() {
    common_.channels = size(plan_.embedding, 1) / features_a_channel();
    image_.classes = size(plan_.labels, plan_.labels_are_linear ? 1 : 0);
    const int64_t besides = plan_.stages.front().in - image_.channels;
    if (const int64_t channels = size(plan_.stages.front().name, 1)) image_.channels = channels - besides;
  }

  // How many stages the weights have not, or have besides, of a network of so many levels, all of the same
  // width, with attention where the encoder has its weights.
  int64_t difference(int64_t res_blocks, size_t levels) {
    common_.res_blocks = res_blocks;
    common_.channel_mult.assign(levels, 1);
    common_.attention_resolutions.clear();
    for (size_t level = 0; level < levels; ++level)
      common_.attention_resolutions.push_back(image_.size >> level);
    plan();
    common_.attention_resolutions.clear();
    for (const auto& stage : plan_.stages) {
      if (stage.section != UNetStage::Section::encoder || stage.heads == 0) continue;
      auto& sides = common_.attention_resolutions;
      if (size(part(stage, names().qkv), 0) > 0 && (sides.empty() || sides.back() != stage.side))
        sides.push_back(stage.side);
    }
    plan();
    const int64_t blocks = std::ranges::count(plan_.stages, Kind::block, &UNetStage::kind);
    const int64_t missing =
        std::ranges::count_if(plan_.stages, [&](const auto& stage) { return !is_there(stage); });
    return missing + std::max<int64_t>(0, blocks_ - blocks);
  }

  // Widths and conditioning of the candidate of which `common` speaks.
  void read_blocks() {
    plan();
    size_t level = 0;
    for (const auto& stage : plan_.stages) {
      if (stage.section != UNetStage::Section::encoder || stage.kind == Kind::image) continue;
      if (stage.resample == Resample::down) {
        ++level;
      } else if (stage.kind == Kind::block) {
        const int64_t out = size(part(stage, names().out_conv), 0);
        if (out == 0) continue;
        common_.channel_mult[level] = static_cast<double>(out) / static_cast<double>(common_.channels);
        common_.scale_shift_norm = size(part(stage, names().embedding), 0) == 2 * out;
      }
    }
  }

 private:
  // That the embedding of time begins with: as many as the first level's channels, or a multiple.
  int64_t features_a_channel() const { return plan_.features / common_.channels; }
  void plan() { plan_ = plan_of_(common_, image_); }
  const BlockNames& names() const { return plan_.style.names; }
  static std::string part(const UNetStage& stage, const char* name) { return stage.name + "." + name; }

  bool is_there(const UNetStage& stage) const {
    switch (stage.kind) {
      case Kind::convolution:
      case Kind::image:
        return size(stage.name, 0) > 0;
      case Kind::block:
        return size(part(stage, names().in_conv), 0) > 0;
      case Kind::attention:
        return size(part(stage, names().qkv), 0) > 0;
      case Kind::resampling:
        return true;
    }
    TORCH_INTERNAL_ASSERT(false, "not a kind of stage");
  }

  // Of a layer's weight; 0 where there is none, or none of so many dimensions.
  int64_t size(const std::string& layer, int64_t dim) const {
    const auto found = weights_.find(layer + ".weight");
    return found == weights_.end() || found->second.dim() <= dim ? 0 : found->second.size(dim);
  }

  const WeightShapes& weights_;
  const Planner& plan_of_;
  UNetOptions& common_;
  ImageSpec& image_;
  UNetPlan plan_;
  int64_t blocks_;
};

}  // namespace

std::optional<int64_t> infer_unet(const WeightShapes& weights, const Planner& planner, UNetOptions& common,
                                  ImageSpec& image) {
  Candidate candidate(weights, planner, common, image);
  if (!candidate.has_embedding()) return std::nullopt;
  candidate.read_ends();
  // The encoder alone has res_blocks blocks a level.
  const int64_t blocks = std::max<int64_t>(2, candidate.blocks_of_weights());
  std::optional<int64_t> least;
  UNetOptions nearest;
  for (int64_t res_blocks = 1; res_blocks < blocks; ++res_blocks) {
    for (size_t levels = 1; static_cast<int64_t>(levels) * res_blocks < blocks; ++levels) {
      if (image.size >> (levels - 1) == 0) break;
      const int64_t difference = candidate.difference(res_blocks, levels);
      if (least && *least <= difference) continue;
      least = difference;
      nearest = common;
    }
  }
  common = std::move(nearest);
  candidate.read_blocks();
  return least;
}

bool has_second_time(const WeightShapes& weights) {
  return weights.contains(concat(kSecondTime, ".weight"));
}

}  // namespace cm
