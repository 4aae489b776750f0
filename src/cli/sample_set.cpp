#include "cm/cli/sample_set.h"

#include "class_labels.h"
#include "cm/base/limits.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/cli/compute_options.h"
#include "cm/cli/guidance_option.h"
#include "cm/cli/number_option.h"
#include "named_option.h"

namespace cm {
namespace {

void add_churn_options(CLI::App& app, Churn& churn) {
  add_number_option(app, "--s-churn", churn.s_churn, "EDM's S_churn: noise added in each step", at_least(0));
  add_number_option(app, "--s-tmin", churn.s_tmin, "EDM's S_tmin");
  add_number_option(app, "--s-tmax", churn.s_tmax, "EDM's S_tmax");
  add_number_option(app, "--s-noise", churn.s_noise, "EDM's S_noise");
}

void add_walk_options(CLI::App& app, SamplerRequest& request) {
  add_number_option(app, "--steps", request.steps,
                    "sampling steps (default: 1 for consistency models, 18 otherwise)",
                    within(1, kMostLevels));
  add_number_option(app, "--sigmas", request.sigmas, "time points of sampling in several steps, as 80,0.66");
  add_number_option(app, "--indices", request.indices,
                    "time points as indices of the grid, as 0,22,39; the last one ends the walk",
                    within(0, kMostLevels));
  add_number_option(app, "--grid", request.grid, "levels of the grid that --indices and --steps count on",
                    within(2, kMostLevels));
  add_named_option<Sampler>(app, "--sampler",
                            "the walk from noise to images; default: as the model and the other options ask",
                            [&request](Sampler sampler) { request.kind = sampler; });
  add_churn_options(app, request.churn);
  add_number_option(app, "--restart", request.restart,
                    "share of the noise that the flow_map sampler makes anew at each time point (default: 0)",
                    within(0, 1));
  app.add_flag_callback(
      "--no-clamp", [&request] { request.clamp = false; },
      "do not clamp the network's output to [-1, 1] after every call (that of latents never is)");
  add_guidance_options(app, request.guidance, request.guide);
}

}  // namespace

void add_sample_set_options(CLI::App& app, SampleSetOptions& options) {
  add_walk_options(app, options.request);
  add_number_option(app, "--num", options.count, "how many samples", within(1, kMostSamples))
      ->capture_default_str();
  app.add_option("--class", options.classes,
                 "classes, repeated over the samples in order: 3, 3,5 or all (default)");
  add_number_option(app, "--batch", options.batch, "images computed at once; changes nothing but speed",
                    within(1, kMostAtOnce))
      ->capture_default_str();
  add_named_option<Quantization>(app, "--quantize", "nearest (default), or truncate as the official release",
                                 [&options](Quantization rule) { options.quantization = rule; });
  add_compute_options(app, options.compute);
  add_vae_options(app, options.vae);
}

SampleSetPlan plan_samples(const std::string& checkpoint, const WeightChoice& choice,
                           const SampleSetOptions& options) {
  const ResolvedWeights weights = resolve_weights(checkpoint, choice);
  const ModelOptions model = read_weight_header(weights).options;
  return {.weights = weights,
          .model = model,
          .sampler = choose_sampler(options.request, model),
          .labels = class_labels(options.classes, model.image.classes, options.count)};
}

void say_weights(const ResolvedWeights& weights) {
  log_info(concat("weights: ", weights.file.string(), ", ", weights.why));
}

SetHeader header_of(const SampleSetPlan& plan, const ImageCodec& codec, int64_t count) {
  const ImageSpec image = codec.images_of(plan.model.image);
  SetHeader header{.path = plan.weights.file.string(),
                   .count = count,
                   .shape = {image.channels, image.size, image.size},
                   .labels = std::nullopt};
  if (plan.labels.defined()) header.labels = plan.labels;
  return header;
}

Tensor planned_samples(const SampleSetPlan& plan, const Model& model, const SampleNoise& noise, int64_t first,
                       int64_t n) {
  return sample(model, plan.sampler, noise, rows_of(plan.labels, first, n));
}

Tensor pixels_of(const Tensor& x, const std::filesystem::path& weights, Quantization rule) {
  if (!torch::isfinite(x).all().item<bool>()) {
    throw InputError(concat(weights.string(), ": makes images that are NaN or infinite; check its weights"));
  }
  return to_uint8(x, rule);
}

}  // namespace cm
