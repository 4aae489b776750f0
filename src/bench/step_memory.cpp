#include "cm/bench/step_memory.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/bench/lpips_memory.h"
#include "cm/run/run_config.h"

namespace cm {
namespace {

constexpr double kFp32 = 4;
// Images in fp32 that a loss holds: the data, the noise, x_t, the network's scaled input, the target's
// answer, the student's, their difference.
constexpr int64_t kImagesOfLoss = 7;

double peak_of_passes(const StepSetup& setup, const NetworkSizes& student) {
  std::vector<Segment> segments = student.segments;
  if (setup.lpips) {
    const std::vector<Segment> distance = lpips_sizes(setup.image.size).segments;
    segments.insert(segments.end(), distance.begin(), distance.end());
  }
  const PassMemory pass = pass_memory(segments, setup.computed_bytes);
  if (setup.tangent) return training_peak_with_tangent(segments, setup.computed_bytes);
  return std::max(pass.training_peak, pass.inference_peak);
}

// What a rank has of the state that is cut.
void cut(StepMemory& memory, const StepSetup& setup) {
  TORCH_CHECK(setup.ranks >= 1, "there must be a rank, got ", setup.ranks);
  const auto ranks = static_cast<double>(setup.ranks);
  if (setup.shard == Shard::none || setup.ranks == 1) return;
  memory.moments /= ranks;
  memory.averages /= ranks;
  if (setup.shard != Shard::gradients) return;
  constexpr double kUnderWay = (GradientSum::kInFlight + 1) * ParameterShards::kBucketBytes;
  memory.under_way = std::min(memory.gradients, kUnderWay);
  memory.gradients /= ranks;
}

}  // namespace

StepSetup step_setup(const RunConfig& config, const ImageSpec& image) {
  if (!config.model) throw InputError("model: the network must be given to count its memory");
  const Method method = method_of(config);
  if (method.derivative == Derivative::through_tangent) {
    throw InputError("stop_gradient false: the memory of a loss that differentiates twice is not known");
  }
  return {.network = *config.model,
          .image = image,
          .target = method.has_target,
          .teacher = method.needs_teacher || method.keeps_start,
          .tangent = method.derivative == Derivative::tangent,
          .lpips = method.distance && method.distance->kind == Distance::lpips,
          .averages = static_cast<int64_t>(config.ema.rates.size() + config.ema.power_stds.size()),
          .shard = config.train.shard};
}

StepMemory step_memory(const StepSetup& setup) {
  TORCH_CHECK(setup.computed_bytes == 2 || setup.computed_bytes == 4,
              "a number of the trunk has 2 or 4 bytes, got ", setup.computed_bytes);
  const NetworkSizes student = sizes_of(setup.network, setup.image, setup.kernels);
  const auto parameters = static_cast<double>(student.parameters);
  const auto trunk = static_cast<double>(student.trunk_weights);
  const double network = kFp32 * parameters;
  const bool mixed = setup.computed_bytes < 4;
  const double saved = mixed ? trunk * (kFp32 - static_cast<double>(setup.computed_bytes)) : 0;
  StepMemory memory{
      .parameters = parameters, .weights = network, .gradients = network, .moments = 2 * network};
  if (setup.target) memory.target = network;
  if (setup.teacher) memory.teacher = network - saved;
  memory.averages = static_cast<double>(setup.averages) * network;
  cut(memory, setup);
  if (setup.lpips) memory.lpips = kFp32 * static_cast<double>(lpips_sizes(setup.image.size).parameters);
  const auto scaled = static_cast<double>(student.scaled_weights);
  memory.cast = kFp32 * scaled;
  if (mixed)
    memory.cast += trunk * static_cast<double>(setup.computed_bytes) - kFp32 * std::min(scaled, trunk);
  const double image =
      kFp32 * static_cast<double>(setup.image.channels * setup.image.size * setup.image.size);
  memory.kept_of_image = pass_memory(student.segments, setup.computed_bytes).kept;
  memory.peak_of_image = peak_of_passes(setup, student) + kImagesOfLoss * image;
  return memory;
}

int64_t StepMemory::largest_batch(double bytes) const {
  return std::max<int64_t>(0, static_cast<int64_t>((bytes - state()) / peak_of_image));
}

double step_bytes(double parameters, int64_t ranks, Shard shard, int64_t micro_batches) {
  TORCH_CHECK(ranks >= 1, "there must be a rank, got ", ranks);
  const auto p = static_cast<double>(ranks);
  const double half = (p - 1) / p * kFp32 * parameters;
  return half * static_cast<double>(1 + (shard == Shard::gradients ? micro_batches : 1));
}

double broadcast_bytes(const StepMemory& memory, Shard shard) {
  return memory.weights + memory.target + (shard == Shard::none ? memory.moments + memory.averages : 0);
}

}  // namespace cm
