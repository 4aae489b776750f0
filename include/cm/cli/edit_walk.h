// How cm-edit walks: the time points of a task, and its draws.
#pragma once

#include <cstdint>
#include <functional>

#include "cm/cli/edit_options.h"
#include "cm/training/sampling.h"

namespace cm {

// The walk of a task: multistep sampling from σ_max for inpaint, colorize and superres (by default through
// the model's grid, in at most 40 evaluations), the model's own sampler from --sigma down for stroke, one
// evaluation at --sigma for denoise, what cm-sample would do for interpolate. InputError when the model is of
// the wrong kind, cannot be guided as asked, or a level lies outside its range.
SamplerOptions edit_walk(const EditOptions& options, const ModelOptions& model);

// The draws of results first … first + count − 1.
using BatchDraws = std::function<SampleNoise(int64_t first, int64_t count)>;

// Those of --seed, of --noise, or for interpolate, along the great arc between the first samples of both
// seeds (or between the file's first two), x_T and the noise of every step, so that the ends are what
// cm-sample makes of these seeds. `count` results. Errors of Replay.
BatchDraws edit_draws(const EditOptions& options, const ModelOptions& model, const SamplerOptions& walk,
                      int64_t count);

}  // namespace cm
