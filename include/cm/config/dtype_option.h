// What a network computes in, on the command line: the same for every executable that samples.
#pragma once

#include <filesystem>

#include "cm/training/model.h"

namespace CLI {
class App;
}

namespace cm {

// Declares --dtype.
void add_dtype_option(CLI::App& app, ComputeType& type);

// load_model, with this process's fp32 products as `type` wants them (allow_tf32).
Model open_model(const std::filesystem::path& weights, const torch::Device& device, ComputeType type);

}  // namespace cm
