// A set of samples of a checkpoint: the options of every executable that makes one, and what follows of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cm/cli/compute_options.h"
#include "cm/cli/vae_options.h"
#include "cm/io/image.h"
#include "cm/metrics/image_set.h"
#include "cm/training/sampling.h"
#include "cm/training/weight_choice.h"

namespace CLI {
class App;
}

namespace cm {

struct SampleSetOptions {
  SamplerRequest request;
  int64_t count = 64;
  std::optional<std::string> classes;  // "3", "3,5", "all"
  int64_t batch = 64;
  Quantization quantization = Quantization::nearest;
  ComputeOptions compute = {};
  VaeOptions vae = {};
};

// Declares --steps, --sigmas, --indices, --grid, --sampler, --s-churn, --s-tmin, --s-tmax, --s-noise,
// --restart, --no-clamp, --num, --class, --batch, --quantize, and those of guidance, of computing and of a
// VAE.
void add_sample_set_options(CLI::App& app, SampleSetOptions& options);

// One weight file and its samples to be: all that is known before anything is computed.
struct SampleSetPlan {
  ResolvedWeights weights;
  ModelOptions model;
  SamplerOptions sampler;
  Tensor labels;  // int64 [count]; undefined for a model without classes
};

// The plan for `choice` of `checkpoint` (resolve_weights). InputError for options that
// contradict themselves or the model.
SampleSetPlan plan_samples(const std::string& checkpoint, const WeightChoice& choice,
                           const SampleSetOptions& options);

// A line of the log that says which weights are taken, and why: for when nothing more can be refused.
void say_weights(const ResolvedWeights& weights);

// What is known of the plan's `count` images, which `codec` makes.
SetHeader header_of(const SampleSetPlan& plan, const ImageCodec& codec, int64_t count);

// Samples first … first + n − 1 of the plan from these draws: what its model makes, as `sample` gives it.
Tensor planned_samples(const SampleSetPlan& plan, const Model& model, const SampleNoise& noise, int64_t first,
                       int64_t n);

// The images x as pixels, uint8 of the same shape on their device. InputError, with the weights' path, when
// one isn't finite.
Tensor pixels_of(const Tensor& x, const std::filesystem::path& weights, Quantization rule);

}  // namespace cm
