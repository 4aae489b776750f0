#include "cm/config/dtype_option.h"

#include <CLI/CLI.hpp>

#include "cm/config/command_line.h"

namespace cm {

void add_dtype_option(CLI::App& app, ComputeType& type) {
  app.add_option_function<std::string>(
         "--dtype", [&type](const std::string& word) { type = named_option<ComputeType>("--dtype", word); },
         "what the network computes in: fp32 (default), bf16 or fp16, or tf32 (fp32 rounded to 10 bits in "
         "products, on GPUs)")
      ->type_name("NAME");
}

Model open_model(const std::filesystem::path& weights, const torch::Device& device, ComputeType type) {
  allow_tf32(type);
  return load_model(weights, device, type);
}

}  // namespace cm
