#include "cm/cli/compute_options.h"

#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/kernels/device_graph.h"
#include "named_option.h"

namespace cm {

void add_compute_options(CLI::App& app, ComputeOptions& options) {
  add_named_option<ComputeType>(app, "--dtype",
                                "what the network computes in: fp32 (default), bf16 or fp16, or tf32 (fp32 "
                                "rounded to 10 bits in products, on GPUs)",
                                [&options](ComputeType named) { options.dtype = named; });
  app.add_flag("--cuda-graph", options.cuda_graph,
               "on a GPU: record an evaluation of the network once and play it for all others, which saves "
               "the time between its kernels; of use for small batches and many of them");
}

Model open_model(const ResolvedWeights& weights, const std::optional<std::filesystem::path>& guide,
                 const torch::Device& device, const ComputeOptions& options) {
  allow_tf32(options.dtype);
  Model model = make_model(load_weight_file(weights), device, weights.file.string(), options.dtype);
  if (options.cuda_graph) record_evaluations(model);
  if (guide) model.guide_by(open_model({*guide, "the guide"}, std::nullopt, device, options));
  return model;
}

void record_evaluations(Model& model) {
  if (const auto obstacle = DeviceGraph::obstacle(model.device())) {
    log_warning(concat("--cuda-graph: evaluations run as they are: ", *obstacle));
  } else {
    model.record_evaluations();
  }
}

}  // namespace cm
