#include "cm/config/dtype_option.h"

#include "named_option.h"

namespace cm {

void add_dtype_option(CLI::App& app, ComputeType& type) {
  add_named_option<ComputeType>(
      app, "--dtype",
      "what the network computes in: fp32 (default), bf16 or fp16, or tf32 (fp32 rounded to 10 bits in "
      "products, on GPUs)",
      [&type](ComputeType named) { type = named; });
}

Model open_model(const std::filesystem::path& weights, const torch::Device& device, ComputeType type) {
  allow_tf32(type);
  return load_model(weights, device, type);
}

}  // namespace cm
