// The body of cm-bench: one job of one case, timed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cm/bench/bench_case.h"

namespace cm {

enum class BenchJob {
  train_edm,          // a step of the diffusion teacher's training
  train_cd,           // a step of consistency distillation, Heun's solver
  train_ct,           // a step of consistency training
  train_sct,          // a step of its continuous-time form in TrigFlow, which takes a tangent
  train_mean_flow,    // a step of MeanFlow, which takes one too
  sample_onestep,     // a batch in one step
  sample_multistep2,  // a batch in two steps
  sample_heun18,      // a batch by a diffusion model in 18 steps, 35 evaluations
  encode,             // a batch of images to latents, by an autoencoder
  decode,             // a batch of latents to images
  cold_start,         // from the start of a process to one written image
  first_image,        // what that process does
  matmul_peak,        // how fast the device multiplies matrices
};

struct BenchCommand {
  std::string job;
  std::string config;
  // Over the case's file; batch is of the job, training or sampling.
  std::optional<int64_t> threads;
  std::optional<std::string> device;
  std::optional<std::string> dtype;
  std::optional<int64_t> batch;
  std::optional<int64_t> steps;
  std::optional<int64_t> warmup;
  std::optional<double> max_seconds;
  bool cuda_graph = false;
  std::optional<std::string> out;      // PNG of cold_start and first_image
  std::optional<std::string> weights;  // of first_image
  bool operators = false;              // also show where the time goes
  bool shapes = false;                 // the same, by the sizes of the operators' tensors
};

// Prints, as the last line of stdout, one JSON object: `ms_median`, `ms_min` and `cpu_ms_median` of a
// training step or a batch, `peak_rss_mb`, on a GPU `peak_device_mb`, `parameters`, `gflop` of the
// job's arithmetic, which path the `kernels` took (cm/kernels/paths.h), how many training steps were `played`
// from a recording, and what was timed. Returns 0. InputError for an unknown job or dtype and a broken case.
int run_bench_command(const BenchCommand& command);

}  // namespace cm
