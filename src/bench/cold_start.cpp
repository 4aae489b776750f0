#include "cold_start.h"

#include <algorithm>

#include "child_process.h"
#include "cm/base/text.h"
#include "cm/bench/training_bench.h"
#include "cm/io/image.h"
#include "cm/io/json.h"
#include "cm/training/sampling.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kWeightSeed = 1;

bool holds(const fs::path& weights, const ModelOptions& options) {
  return fs::exists(weights) && json_of(read_weight_header(weights).options) == json_of(options);
}

}  // namespace

void write_first_image(const fs::path& weights, const fs::path& image, const torch::Device& device,
                       ComputeType type) {
  const Model model = load_model(weights, device, type);
  const SamplerOptions sampler = choose_sampler({.kind = SamplerKind::onestep}, model.options());
  const Tensor labels = model.options().image.classes > 0 ? torch::zeros({1}, torch::kInt64) : Tensor();
  const SampleNoise noise = seeded_noise(model.options(), sampler, 0, 0, 1);
  write_png(image, to_uint8(sample(model, sampler, noise, labels)).cpu()[0]);
}

ColdStart measure_cold_start(const BenchCase& bench_case, const ColdStartOptions& options) {
  const ModelOptions model_options = model_options_of(bench_case, Parameterization::skip);
  const fs::path weights = fs::path(options.image).replace_extension(".safetensors");
  ColdStart result;
  {
    const Model model = random_model(model_options, torch::kCPU, kWeightSeed);
    result.parameters = parameter_count(model.network());
    if (!holds(weights, model_options)) save_weights(weights, model_options, model.named_weights());
  }
  const std::vector<std::string> arguments = {"--job",     "first_image",
                                              "--config",  options.case_file.string(),
                                              "--weights", weights.string(),
                                              "--out",     options.image.string(),
                                              "--device",  bench_case.device,
                                              "--dtype",   to_string(bench_case.dtype),
                                              "--threads", std::to_string(bench_case.threads)};
  double spent = 0;
  for (int64_t i = 0; i < bench_case.warmup + bench_case.steps; ++i) {
    if (i - bench_case.warmup >= 3 && spent > 1e3 * bench_case.max_seconds) break;
    const ChildTimes times = run_self(arguments);
    result.peak_rss_mb = std::max(result.peak_rss_mb, times.peak_rss_mb);
    if (i < bench_case.warmup) continue;
    spent += times.first_output_ms;
    result.repeats.wall_ms.push_back(times.first_output_ms);
    result.repeats.cpu_ms.push_back(times.cpu_ms);
  }
  return result;
}

}  // namespace cm
