#include "unet_inference.h"

#include <algorithm>

#include "cm/base/text.h"

namespace cm {
namespace {

using Kind = UNetStage::Kind;

// Candidates have so many levels and blocks, all of the same width.
class Candidate {
 public:
  Candidate(const WeightShapes& weights, const Planner& plan_of, UNetOptions& common, ImageSpec& image)
      : weights_(weights), plan_of_(plan_of), common_(common), image_(image) {
    plan();
  }

  bool has_embedding() const { return size(plan_.embedding, 0) >= 4; }

  // What the first and the last layers tell, whatever lies between.
  void read_ends() {
    common_.channels = size(plan_.embedding, 0) / 4;
    image_.channels = size(plan_.stages.front().name, 1);
    image_.classes = size(plan_.labels, plan_.labels_are_linear ? 1 : 0);
  }

  // With attention where the encoder has its weights.
  bool fits(int64_t res_blocks, size_t levels) {
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
    return std::ranges::count(plan_.stages, Kind::block, &UNetStage::kind) == blocks_of_weights() &&
           std::ranges::all_of(plan_.stages, [&](const auto& stage) { return is_there(stage); });
  }

  // Of one that fits.
  void read_blocks() {
    size_t level = 0;
    for (const auto& stage : plan_.stages) {
      if (stage.section != UNetStage::Section::encoder || stage.kind == Kind::image) continue;
      if (stage.resample == Resample::down) {
        ++level;
      } else if (stage.kind == Kind::block) {
        const int64_t out = size(part(stage, names().out_conv), 0);
        common_.channel_mult[level] = static_cast<double>(out) / static_cast<double>(common_.channels);
        common_.scale_shift_norm = size(part(stage, names().embedding), 0) == 2 * out;
      }
    }
  }

  int64_t blocks_of_weights() const {
    const std::string end = concat(".", names().in_conv, ".weight");
    return std::ranges::count_if(weights_, [&](const auto& entry) { return entry.first.ends_with(end); });
  }

 private:
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
};

}  // namespace

bool infer_unet(const WeightShapes& weights, const Planner& planner, UNetOptions& common, ImageSpec& image) {
  common.channel_mult = {1};
  Candidate candidate(weights, planner, common, image);
  if (!candidate.has_embedding()) return false;
  candidate.read_ends();
  // A level has at least res_blocks blocks on the way down and one more on the way up.
  const int64_t blocks = candidate.blocks_of_weights();
  for (int64_t res_blocks = 1; 2 * res_blocks < blocks; ++res_blocks) {
    for (size_t levels = 1; static_cast<int64_t>(levels) * (2 * res_blocks + 1) <= blocks; ++levels) {
      if (levels > 1 && image.size >> (levels - 1) == 0) break;
      if (!candidate.fits(res_blocks, levels)) continue;
      candidate.read_blocks();
      return true;
    }
  }
  return false;
}

}  // namespace cm
