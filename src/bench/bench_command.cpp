#include "cm/bench/bench_command.h"

#include <ATen/Parallel.h>

#include <iostream>

#include "autoencoder_bench.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/bench/measurement.h"
#include "cm/bench/network_memory.h"
#include "cm/bench/training_bench.h"
#include "cm/cli/command_line.h"
#include "cm/io/json.h"
#include "cm/kernels/paths.h"
#include "cold_start.h"
#include "matmul_peak.h"
#include "operator_times.h"
#include "sampling_bench.h"

namespace cm {
namespace {

constexpr int64_t kOperatorSteps = 5;

bool is_training(BenchJob job) {
  return job == BenchJob::train_edm || job == BenchJob::train_cd || job == BenchJob::train_ct ||
         job == BenchJob::train_sct || job == BenchJob::train_mean_flow;
}

BenchCase case_of(const BenchCommand& command, BenchJob job) {
  BenchCase bench_case = read_bench_case(command.config);
  const auto set = [](auto& value, const auto& given) {
    if (given) value = *given;
  };
  set(bench_case.threads, command.threads);
  set(bench_case.device, command.device);
  set(is_training(job) ? bench_case.batch : bench_case.sample_batch, command.batch);
  set(bench_case.steps, command.steps);
  set(bench_case.warmup, command.warmup);
  set(bench_case.max_seconds, command.max_seconds);
  bench_case.cuda_graph |= command.cuda_graph;
  if (command.dtype) bench_case.dtype = named_option<ComputeType>("--dtype", *command.dtype);
  return bench_case;
}

std::string required(const std::optional<std::string>& value, const std::string& option, BenchJob job) {
  if (value) return *value;
  throw InputError(concat("--job ", to_string(job), " needs ", option));
}

Json timings(const Repeats& repeats) {
  return {{"steps", repeats.wall_ms.size()},
          {"ms_median", median(repeats.wall_ms)},
          {"ms_min", smallest(repeats.wall_ms)},
          {"cpu_ms_median", median(repeats.cpu_ms)},
          {"cpu_ms_min", smallest(repeats.cpu_ms)}};
}

// Of repeats in this process.
Json timings_and_memory(const Repeats& repeats, const torch::Device& device) {
  Json result = timings(repeats);
  result["peak_rss_mb"] = peak_rss_mb();
  if (!device.is_cpu()) result["peak_device_mb"] = peak_device_mb(device);
  return result;
}

// Also prints it.
Json with_kernel_calls(const KernelCalls& calls) {
  std::cout << "kernels called, a step\n  " << join(lines_of(calls), "\n  ") << '\n';
  Json all = Json::object();
  for (const auto& [kernel, counts] : calls) {
    Json by_operators = Json::object();
    for (const auto& [obstacle, count] : counts.by_operators) by_operators[to_string(obstacle)] = count;
    all[to_string(kernel)] = {{"by_kernel", counts.by_kernel}, {"by_operators", by_operators}};
  }
  return all;
}

Json with_operators(const std::function<void()>& body, bool by_shape, const torch::Device& device) {
  const auto steps = [&] {
    for (int64_t i = 0; i < kOperatorSteps; ++i) body();
  };
  const auto operators = operator_times(steps, by_shape, device);
  std::cout << operator_table(operators, kOperatorSteps);
  Json list = Json::array();
  for (const auto& entry : operators) {
    list.push_back({{"name", entry.name},
                    {"self_ms", entry.self_ms / static_cast<double>(kOperatorSteps)},
                    {"calls", static_cast<double>(entry.calls) / static_cast<double>(kOperatorSteps)}});
  }
  return list;
}

// What is repeated, and on what.
struct Work {
  const torch::nn::Module& network;
  torch::Device device;
  int64_t batch;
  double flops;  // of one image
};

Json measured(const BenchCommand& command, const BenchCase& bench_case, const Work& work,
              const std::function<void()>& body) {
  const RepeatOptions options{
      .warmup = bench_case.warmup, .steps = bench_case.steps, .max_seconds = bench_case.max_seconds};
  std::optional<KernelCalls> calls;  // of the first, which runs as it is where later ones are played
  const auto counted = [&] {
    if (calls) return body();
    calls = kernel_calls_during(body);
  };
  Json result = timings_and_memory(measure_repeats(options, work.device, counted), work.device);
  result["kernels"] = with_kernel_calls(*calls);
  result["parameters"] = parameter_count(work.network);
  result["batch"] = work.batch;
  result["gflop"] = 1e-9 * work.flops * static_cast<double>(work.batch);
  result["gflops_per_second"] = 1e3 * result["gflop"].get<double>() / result["ms_median"].get<double>();
  result["images_per_second"] = 1e3 * static_cast<double>(work.batch) / result["ms_median"].get<double>();
  if (command.operators || command.shapes)
    result["operators"] = with_operators(body, command.shapes, work.device);
  return result;
}

// `passes`: forward passes for one image, a backward pass being two.
Work work_of(const Model& model, int64_t batch, double passes) {
  const double flops = sizes_of(model.options().network, model.options().image, Kernels::fused).flops;
  return {.network = model.network(), .device = model.device(), .batch = batch, .flops = passes * flops};
}

// Student forward and backward: 3 passes; target: 1; Heun's teacher: 2; tangent: 1.
Json train_job(const BenchCommand& command, const BenchCase& bench_case, ObjectiveKind objective,
               double passes) {
  TrainingBench bench(bench_case, objective, parse_device(bench_case.device));
  Json result = measured(command, bench_case, work_of(bench.student(), bench_case.batch, passes),
                         [&] { bench.step(); });
  result["loss"] = bench.loss();
  result["played"] = bench.steps_played();
  return result;
}

Json sample_job(const BenchCommand& command, const BenchCase& bench_case, Sampler kind) {
  SamplingBench bench(bench_case, kind, parse_device(bench_case.device));
  const auto passes = static_cast<double>(evaluations(bench.sampler()));
  return measured(command, bench_case, work_of(bench.model(), bench_case.sample_batch, passes),
                  [&] { bench.batch(); });
}

Json autoencoder_job(const BenchCommand& command, const BenchCase& bench_case, bool encodes) {
  const AutoencoderBench bench(bench_case, parse_device(bench_case.device));
  const Work work{.network = bench.autoencoder(),
                  .device = bench.device(),
                  .batch = bench_case.sample_batch,
                  .flops = encodes ? bench.flops().encode : bench.flops().decode};
  return measured(command, bench_case, work, [&] {
    if (encodes) {
      bench.encode();
    } else {
      bench.decode();
    }
  });
}

Json cold_start_job(const BenchCommand& command, const BenchCase& bench_case) {
  const auto image = required(command.out, "--out FILE.png", BenchJob::cold_start);
  const ColdStart cold = measure_cold_start(bench_case, {.case_file = command.config, .image = image});
  Json result = timings(cold.repeats);
  result["peak_rss_mb"] = cold.peak_rss_mb;
  result["parameters"] = cold.parameters;
  result["batch"] = 1;
  return result;
}

Json first_image_job(const BenchCommand& command, const BenchCase& bench_case) {
  write_first_image(required(command.weights, "--weights FILE", BenchJob::first_image),
                    required(command.out, "--out FILE.png", BenchJob::first_image),
                    parse_device(bench_case.device), bench_case.dtype);
  return {{"peak_rss_mb", peak_rss_mb()}};
}

Json matmul_job(const BenchCase& bench_case) {
  const torch::Device device = parse_device(bench_case.device);
  const MatmulPeak peak = measure_matmul_peak(device, number_type(bench_case.dtype), bench_case.max_seconds);
  Json result = timings_and_memory(peak.repeats, device);
  result["gflops_per_second"] = peak.gflops_per_second;
  result["matrix_size"] = peak.size;
  return result;
}

Json run_job(const BenchCommand& command, const BenchCase& bench_case, BenchJob job) {
  switch (job) {
    case BenchJob::train_edm:
      return train_job(command, bench_case, kObjective<EdmOptions>, 3);
    case BenchJob::train_cd:
      return train_job(command, bench_case, kObjective<CdOptions>, 6);
    case BenchJob::train_ct:
      return train_job(command, bench_case, kObjective<CtOptions>, 4);
    case BenchJob::train_sct:
      return train_job(command, bench_case, kObjective<SctOptions>, 4);
    case BenchJob::train_mean_flow:
      return train_job(command, bench_case, kObjective<MeanFlowOptions>, 4);
    case BenchJob::sample_onestep:
      return sample_job(command, bench_case, SamplerKind::onestep);
    case BenchJob::sample_multistep2:
      return sample_job(command, bench_case, SamplerKind::multistep);
    case BenchJob::sample_heun18:
      return sample_job(command, bench_case, Solver::heun);
    case BenchJob::encode:
      return autoencoder_job(command, bench_case, true);
    case BenchJob::decode:
      return autoencoder_job(command, bench_case, false);
    case BenchJob::cold_start:
      return cold_start_job(command, bench_case);
    case BenchJob::first_image:
      return first_image_job(command, bench_case);
    case BenchJob::matmul_peak:
      return matmul_job(bench_case);
  }
  TORCH_INTERNAL_ASSERT(false, "not a job");
}

}  // namespace

int run_bench_command(const BenchCommand& command) {
  const auto job = named_option<BenchJob>("--job", command.job);
  const BenchCase bench_case = case_of(command, job);
  allow_tf32(bench_case.dtype);
  at::set_num_threads(static_cast<int>(bench_case.threads));
  Json line = {{"job", to_string(job)},
               {"case", bench_case.name},
               {"device", bench_case.device},
               {"dtype", to_string(bench_case.dtype)},
               {"cuda_graph", bench_case.cuda_graph},
               {"threads", bench_case.threads}};
  line.update(run_job(command, bench_case, job));
  std::cout << json_text(line) << std::endl;
  return 0;
}

}  // namespace cm
