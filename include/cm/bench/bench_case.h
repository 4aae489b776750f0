// What is timed: a network given by its sizes, batches, and how long to measure. Read from a JSON file such
// as bench/cases/cifar32.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/training/model_options.h"

namespace cm {

// Whose network, and whose way of training a diffusion model (job train_edm): EDM2 learns the uncertainty of
// its loss, by Adam, with two averages by power functions. meanflow is MeanFlow's DDPM++, trained by its Adam
// with its three averages. An autoencoder is no network that is trained: it encodes and decodes.
enum class BenchArchitecture { adm, edm2, meanflow, autoencoder };

struct BenchCase {
  std::string name;
  BenchArchitecture architecture = BenchArchitecture::adm;
  int64_t image_size = 0;
  int64_t in_channels = 3;
  int64_t model_channels = 0;
  std::vector<double> channel_mult;
  int64_t res_blocks = 0;
  std::vector<int64_t> attention_resolutions;
  int64_t head_channels = 0;
  int64_t num_classes = 0;
  bool scale_shift_norm = true;
  bool resblock_updown = true;
  double dropout = 0;
  int64_t batch = 0;
  int64_t sample_batch = 0;
  int64_t warmup = 2;
  int64_t steps = 10;
  double max_seconds = 30;
  int64_t threads = 1;
  std::string device = "cpu";
  ComputeType dtype = ComputeType::fp32;
  bool cuda_graph = false;
};

template <class Visitor>
void fields(Visitor& visit, BenchCase& o) {
  visit("name", o.name, "what reports call it");
  visit("architecture", o.architecture, "of the network");
  visit("image_size", o.image_size, "side of the images in pixels", within(1, kLargestSide));
  visit("in_channels", o.in_channels, "channels of the images: 1 or 3", within(1, 3));
  visit("model_channels", o.model_channels, "channels that channel_mult multiplies",
        within(1, kMostChannels));
  visit("channel_mult", o.channel_mult, "one factor a level",
        Range{.min = 0, .max = kLargestMultiplier, .open_min = true});
  visit("res_blocks", o.res_blocks, "residual blocks a level", within(1, kMostBlocks));
  visit("attention_resolutions", o.attention_resolutions, "sides of the levels with self-attention",
        within(1, kLargestSide));
  visit("head_channels", o.head_channels, "channels of one attention head", within(1, kMostChannels));
  visit("num_classes", o.num_classes, "classes; 0: none", within(0, kMostClasses));
  visit("scale_shift_norm", o.scale_shift_norm, "adm: the time embedding scales and shifts");
  visit("resblock_updown", o.resblock_updown, "adm: residual blocks change the resolution");
  visit("dropout", o.dropout, "dropout probability in training", from_below(0, 1));
  visit("batch", o.batch, "images of a training step", within(1, kMostAtOnce));
  visit("sample_batch", o.sample_batch, "images of a sampled batch", within(1, kMostAtOnce));
  visit("warmup", o.warmup, "repeats before the measurement", within(0, kMostRepeats));
  visit("steps", o.steps, "repeats that are measured", within(1, kMostRepeats));
  visit("max_seconds", o.max_seconds, "no repeat begins after so long a measurement, but for the first three",
        above(0));
  visit("threads", o.threads, "threads of the CPU", within(1, kMostThreads));
  visit("device", o.device, "cpu, cuda, cuda:N or auto");
  visit("dtype", o.dtype, "what the network computes in");
  visit("cuda_graph", o.cuda_graph, "on a GPU: record a step or an evaluation once and play it");
}

// InputError when the file is missing, no JSON object, has an unknown key, a value out of range, or lacks a
// size of the network or a batch.
BenchCase read_bench_case(const std::filesystem::path& path);

// The network, its images and a parameterization.
ModelOptions model_options_of(const BenchCase& bench_case, Parameterization parameterization);

}  // namespace cm
