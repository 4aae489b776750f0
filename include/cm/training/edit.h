// Zero-shot edits of pictures by a model (cm/diffusion/editing.h): the walk of each task, its draws, and what
// comes of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/diffusion/editing.h"
#include "cm/training/sampling.h"

namespace cm {

enum class EditTask {
  inpaint,      // fill what a mask or box leaves free
  colorize,     // colours for a given luma
  superres,     // details for given patch means
  stroke,       // a picture that resembles the given one (SDEdit)
  denoise,      // one evaluation at the picture's own noise level
  interpolate,  // between the starts of two seeds
};

struct EditRequest {
  EditTask task = EditTask::inpaint;
  std::optional<int64_t> factor = std::nullopt;  // of super-resolution
  // The noise level to start from (stroke), or that the input has (denoise), put into it first if asked for.
  std::optional<double> sigma = std::nullopt;
  bool add_noise = false;
  std::vector<uint64_t> seeds = {};  // the two ends of an interpolation
  // Of a walk of the model's own: stroke's and interpolate's.
  std::optional<Sampler> sampler = std::nullopt;
  // Evaluations, or their time points.
  std::optional<int64_t> steps = std::nullopt;
  std::vector<double> sigmas = {};
  Guidance guidance = {};
  std::optional<std::string> guide = std::nullopt;  // as SamplerRequest::guide
  std::optional<std::string> noise = std::nullopt;  // a file that Replay reads, whose x_T is the start itself
};

// The pictures of a batch, one row a result; undefined where the task or the model has none.
struct EditPictures {
  Tensor reference;  // y, fp32 [N, C, S, S] in [−1, 1], for a model of latents what ImageCodec::encode gives
  Tensor known;      // inpaint: bool [N, 1, S, S]
  Tensor labels;     // int64 [N]

  EditPictures rows(int64_t first, int64_t n) const;
};

// The walk of a task: multistep sampling from σ_max for inpaint, colorize and superres (by default through
// the model's grid, in at most 40 evaluations), the model's own sampler from request.sigma down for stroke,
// one evaluation at it for denoise, what cm-sample would do for interpolate. InputError when the model is of
// the wrong kind, or of latents, in which the task means nothing, cannot be guided as asked, or a level lies
// outside its range.
SamplerOptions edit_walk(const EditRequest& request, const ModelOptions& model);

// The draws of results first … first + count − 1.
using BatchDraws = std::function<SampleNoise(int64_t first, int64_t count)>;

// Those of the seed, of request.noise, or for interpolate, along the great arc between the first samples of
// both seeds (or between the file's first two), x_T and the noise of every step, so that the ends are what
// cm-sample makes of these seeds. `count` results. Errors of Replay.
BatchDraws edit_draws(const EditRequest& request, const ModelOptions& model, const SamplerOptions& walk,
                      uint64_t seed, int64_t count);

// What the task keeps of the pictures; nullopt where it keeps nothing.
std::optional<Constraint> constraint_of(const EditRequest& request, const EditPictures& pictures);

// The point that the walk starts from, by x_T of its draws (already times the first σ). `constraint`: what
// constraint_of made of the pictures.
Tensor edit_start(const EditRequest& request, const EditPictures& pictures,
                  const std::optional<Constraint>& constraint, const Tensor& x_T);

// The results of a batch, fp32 [N, C, S, S] on the model's device.
Tensor edit(const Model& model, const EditRequest& request, const SamplerOptions& walk,
            const EditPictures& pictures, const SampleNoise& noise);

}  // namespace cm
