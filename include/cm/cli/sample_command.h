// The body of cm-sample: images from a checkpoint.
#pragma once

#include <optional>
#include <string>

#include "cm/cli/command_line.h"
#include "cm/cli/sample_set.h"

namespace cm {

struct SampleCommand {
  CommonOptions common;
  std::string checkpoint;
  WeightChoice weights;
  SampleSetOptions samples;
  std::string out;
  std::optional<std::string> noise;  // safetensors with x_T and noise.0, noise.1, …
  bool write_float = false;
  bool write_pngs = false;
  bool pairs = false;
};

// Samples and writes samples.npz, grid.png and what else was asked for into `out`, or, for `pairs`, a set of
// pairs (cm/data/pairs.h) with its grid.png; returns 0. InputError for mistakes in the command, before
// anything is computed or written.
int run_sample_command(const SampleCommand& command);

}  // namespace cm
