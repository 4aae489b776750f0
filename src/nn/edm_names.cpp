#include "edm_names.h"

#include <algorithm>

#include "cm/base/text.h"

namespace cm {
namespace {

using Kind = UNetStage::Kind;
using Section = UNetStage::Section;

std::string part_name(const UNetStage& stage, int64_t place) {
  switch (stage.kind) {
    case Kind::convolution:
      return "conv";
    case Kind::image:
      return "aux_residual";
    case Kind::block:
    case Kind::attention:
    case Kind::resampling:
      if (stage.resample != Resample::none) return stage.resample == Resample::down ? "down" : "up";
      return concat(stage.section == Section::middle ? "in" : "block", place);
  }
  TORCH_INTERNAL_ASSERT(false, "not a kind of stage");
}

}  // namespace

std::string edm_name(Section section, int64_t side, const std::string& what) {
  return concat(section == Section::encoder ? "enc." : "dec.", side, "x", side, "_", what);
}

void name_edm_stages(std::vector<UNetStage>& stages) {
  int64_t place = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    UNetStage& stage = stages[i];
    const bool same_place = i > 0 && stage.section == stages[i - 1].section;
    const bool follows = same_place && stage.resample == Resample::none &&
                         stages[i - 1].kind == Kind::block && stages[i - 1].resample == Resample::none;
    place = follows ? place + 1 : 0;
    stage.name = edm_name(stage.section, stage.out_side(), part_name(stage, place));
  }
}

int64_t side_in_names(const WeightShapes& weights) {
  for (const auto& [name, shape] : weights) {
    const size_t end = name.find('x');
    if (!name.starts_with("enc.") || end > 12 || !name.ends_with("_conv.weight")) continue;
    const auto digits = name.substr(4, end - 4);
    if (!digits.empty() && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }))
      return std::stoll(digits);
  }
  return 0;
}

}  // namespace cm
