#include "sampling_bench.h"

#include "cm/bench/training_bench.h"
#include "cm/cli/compute_options.h"
#include "cm/io/image.h"

namespace cm {
namespace {

constexpr uint64_t kModelSeed = 1;

Parameterization sampled_parameterization(Sampler kind) {
  return is_consistency_sampler(kind) ? Parameterization::skip : Parameterization::edm;
}

}  // namespace

SamplingBench::SamplingBench(const BenchCase& bench_case, Sampler kind, const torch::Device& device)
    : model_(random_model(model_options_of(bench_case, sampled_parameterization(kind)), device, kModelSeed)),
      sampler_(choose_sampler({.kind = kind}, model_.options())),
      size_(bench_case.sample_batch) {
  model_.freeze();
  model_.hold_in(bench_case.dtype);
  if (bench_case.cuda_graph) record_evaluations(model_);
  const int64_t classes = model_.options().image.classes;
  if (classes > 0) labels_ = torch::arange(size_, torch::kInt64).remainder(classes);
}

Tensor SamplingBench::batch() {
  const SampleNoise noise = seeded_noise(model_.options(), sampler_, seed_++, 0, size_, model_.device());
  const Tensor pixels = to_uint8(sample(model_, sampler_, noise, labels_));
  return pixels.permute({0, 2, 3, 1}).contiguous().cpu();
}

}  // namespace cm
