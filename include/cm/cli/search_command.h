// The body of cm-search: the time points of multistep sampling that a metric likes best.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cm/cli/command_line.h"
#include "cm/cli/compute_options.h"
#include "cm/cli/reference_options.h"
#include "cm/cli/vae_options.h"
#include "cm/diffusion/guidance.h"
#include "cm/training/weight_choice.h"

namespace cm {

struct SearchCommand {
  CommonOptions common;
  std::string checkpoint;
  WeightChoice weights;
  int64_t steps = 2;
  std::optional<int64_t> grid;  // default: grid_levels of the model
  std::string metric = "frechet";
  ReferenceOptions reference;
  int64_t count = 2000;                // samples an evaluation
  std::optional<std::string> classes;  // as SampleCommand's
  Guidance guidance;
  std::optional<std::string> guide;  // as SamplerRequest::guide
  int64_t batch = 64;
  ComputeOptions compute = {};
  VaeOptions vae = {};
  std::string out;
  bool resume = false;
};

// Searches by cm/diffusion/ternary_search.h, keeps every evaluation in `out` (src/cli/search_folder.h),
// prints what was tried and, last, the line "--sigmas …" that cm-sample takes. An interruption ends it with
// all evaluations kept. Returns 0. InputError for mistakes in the command, before anything is computed or
// written.
int run_search_command(const SearchCommand& command);

}  // namespace cm
