// The magnitude-preserving U-Net of EDM2 (Karras et al. 2024, arXiv 2312.02696, config G, Figure 21), with
// the parameter names of its published weights. Its sizes differ in `channels`: XS 128, S 192, M 256, L 320,
// XL 384, XXL 448.
#pragma once

#include <memory>
#include <optional>

#include "cm/nn/layers.h"
#include "cm/nn/unet_plan.h"

namespace cm {

// What the network is told its time by, √2 times either, of unit magnitude.
enum class TimeFeatures {
  fourier,     // cosines of random frequencies and phases, as published (Eq. 75)
  positional,  // NoiseFeatures of layers.h, whose slope is bounded: for TrigFlow (sCM, arXiv 2410.11081,
               // §4.1)
};

struct Edm2Options : UNetOptions {
  static constexpr std::string_view kName = "edm2";
  static constexpr std::string_view kHelp = "EDM2's magnitude-preserving network";
  static constexpr double kTimeScale = 1;

  TimeFeatures time_features = TimeFeatures::fourier;
  std::optional<int64_t> dropout_side;
  double residual_balance = 0.3;
  double attention_balance = 0.3;
  double label_balance = 0.5;
  double concat_balance = 0.5;
  std::optional<double> clip = 256;

  Edm2Options() {
    channels = 192;
    channel_mult = {1, 2, 3, 4};
    res_blocks = 3;
    attention_resolutions = {16, 8};
    head_channels = 64;
  }
};

template <class Visitor>
void fields(Visitor& visit, Edm2Options& o) {
  fields(visit, static_cast<UNetOptions&>(o));
  visit(
      "time_features", o.time_features,
      "of the network's time: fourier, random ones as published; positional, which continuous-time training "
      "is stable with");
  visit("dropout_side", o.dropout_side,
        "dropout in blocks of at most so many pixels a side alone (ECT, TCM, sCM: 16). Default: in all",
        within(1, kLargestSide));
  const Range share{.min = 0, .max = 1};
  visit("residual_balance", o.residual_balance, "share of a block's residual branch in its sum", share);
  visit("attention_balance", o.attention_balance, "share of self-attention in its sum", share);
  visit("label_balance", o.label_balance, "share of the class in the embedding", share);
  visit("concat_balance", o.concat_balance, "share of a skip connection where it is concatenated", share);
  visit("clip", o.clip, "largest activation behind a block, others are cut; null: none", above(0));
}

// That of a block whose output has so many pixels a side.
double dropout_at(const Edm2Options& options, int64_t side);

void validate(const Edm2Options& options, const Complain& complain);
UNetPlan plan_of(const Edm2Options& options, const ImageSpec& image);
std::shared_ptr<Network> build(const Edm2Options& options, const ImageSpec& image, Initializer initializer);
bool infer(const WeightShapes& weights, Edm2Options& options, ImageSpec& image);

}  // namespace cm
