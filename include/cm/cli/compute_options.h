// How a network is computed, on the command line: the same for every executable that samples.
#pragma once

#include <filesystem>
#include <optional>

#include "cm/training/model.h"
#include "cm/training/weight_choice.h"

namespace CLI {
class App;
}

namespace cm {

struct ComputeOptions {
  ComputeType dtype = ComputeType::fp32;
  bool cuda_graph = false;
};

// Declares --dtype and --cuda-graph.
void add_compute_options(CLI::App& app, ComputeOptions& options);

// A model of the weights, with this process's fp32 products as the type wants them (allow_tf32), its
// evaluations recorded if asked for; and of its guide, if any, likewise (Model::guide_by).
Model open_model(const ResolvedWeights& weights, const std::optional<std::filesystem::path>& guide,
                 const torch::Device& device, const ComputeOptions& options);

// Model::record_evaluations; where the device cannot, a line of the log says so.
void record_evaluations(Model& model);

}  // namespace cm
