// From the start of a process to its first image.
#pragma once

#include <filesystem>
#include <string>

#include "cm/bench/bench_case.h"
#include "cm/bench/measurement.h"

namespace cm {

struct ColdStartOptions {
  std::filesystem::path case_file;
  std::filesystem::path image;  // PNG that each process writes; the weights lie beside it, X.safetensors
};

struct ColdStart {
  Repeats repeats;  // wall time to the written image; processor time of the whole process
  double peak_rss_mb = 0;
  int64_t parameters = 0;
};

// Writes a random consistency model of the case to disk, unless it lies there already, then starts this
// program anew, again and again, as `--job first_image`: it reads the weights and writes one image. Error
// when such a process fails.
ColdStart measure_cold_start(const BenchCase& bench_case, const ColdStartOptions& options);

// What such a process does: one image in one step by the weights in `weights`, written as PNG.
void write_first_image(const std::filesystem::path& weights, const std::filesystem::path& image,
                       const torch::Device& device, ComputeType type);

}  // namespace cm
