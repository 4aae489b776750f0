// On what a config, its data and the weights that it names have to agree. Whoever finds that they do not
// throws InputError with the key and the remedy.
#pragma once

#include <optional>
#include <string>

#include "cm/data/dataset.h"
#include "cm/data/pairs.h"
#include "cm/run/run_config.h"
#include "cm/training/methods.h"
#include "cm/training/model.h"

namespace cm {

// A student of pairs learns one step, from the σ where they start.
void check_pairs(const RunConfig& config, const PairSet& pairs);

// Latents are what the config says of them; other data are.
void check_latents(const RunConfig& config, const Dataset& data);

// LPIPS as the distance compares pixels of three channels.
void check_lpips(const RunConfig& config, const ImageSpec& image, bool latents);

// The teacher is a diffusion model of these images. A student of progressive distillation is a denoiser at
// its own levels only: the next student can halve its steps, nothing else can be learned from it.
void check_teacher(const RunConfig& config, const Method& method, const ModelOptions& teacher,
                   const ImageSpec& image);

// Where labels are dropped, there are some, and the teacher and its guide know the null class.
void check_label_dropout(const RunConfig& config, const ImageSpec& image,
                         const std::optional<Model>& teacher);

// A start that teaches as long as the student is trained does so by the student's own scalings.
void check_kept_start(const RunConfig& config, const ModelOptions& start, const ImageSpec& image);

// A network of one time does not start from one of two, a flow map's. `what` names that.
void check_times(const RunConfig& config, const std::string& what, const NetworkOptions& theirs);

// Guidance in the target leads away from the null class, which the student has to learn.
void check_target_guidance(const RunConfig& config, const Method& method, const ImageSpec& image);

// A loss with a gradient through u differentiates the network twice, which recomputed blocks cannot be.
void check_twice_differentiable(const RunConfig& config, const Method& method);

}  // namespace cm
