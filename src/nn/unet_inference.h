// The options of a U-Net, told from the names and shapes of its weights.
#pragma once

#include <functional>
#include <optional>

#include "cm/nn/unet_plan.h"

namespace cm {

// The plan of an architecture for the options of all U-Nets, its own being given.
using Planner = std::function<UNetPlan(const UNetOptions& common, const ImageSpec& image)>;

template <class Options>
Planner planner_of(const Options& own) {
  return [&own](const UNetOptions& common, const ImageSpec& image) {
    Options options = own;
    static_cast<UNetOptions&>(options) = common;
    return plan_of(options, image);
  };
}

// Sets channels, levels, blocks, attention and conditioning of `common`, and channels and classes of `image`
// (its size is given, > 0), to those of the plan whose names are nearest to the weights'. The number of
// stages by which they differ; nullopt where the weights have not even its embedding.
std::optional<int64_t> infer_unet(const WeightShapes& weights, const Planner& planner, UNetOptions& common,
                                  ImageSpec& image);

// Whether they take a second time.
bool has_second_time(const WeightShapes& weights);

}  // namespace cm
