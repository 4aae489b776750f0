#include "cm/training/continuous_objective.h"

#include <algorithm>

#include "cm/base/text.h"
#include "cm/training/guided_model.h"
#include "continuous_losses.h"
#include "draws.h"

namespace cm {
namespace {

// How a sample's ẋ comes about.
using PointOf =
    std::function<TrajectoryPoint(const TrainingBatch& batch, const Tensor& sigma, const Tensor& noise)>;

std::vector<Distance> possible_distances(bool stop_gradient) {
  if (stop_gradient) return {Distance::l2, Distance::lpips};
  return {Distance::l1, Distance::l2, Distance::lpips};
}

void check_distance(const ContinuousOptions& options) {
  const auto possible = possible_distances(options.stop_gradient);
  TORCH_CHECK(std::ranges::find(possible, options.distance) != possible.end(),
              "no loss in continuous time by distance ", to_string(options.distance));
}

TangentMetric metric_of(const ContinuousOptions& options, const DistanceFunction& distance) {
  return options.distance == Distance::lpips ? hessian_metric(distance) : euclidean_metric();
}

TangentSize size_of(const ContinuousOptions& options, const DistanceFunction& distance) {
  if (options.distance == Distance::lpips) return quadratic_size(hessian_metric(distance));
  return options.distance == Distance::l1 ? mean_absolute_size() : euclidean_size();
}

Tensor weight_of(const ContinuousOptions& options, const SigmaOptions& range, const Tensor& sigma) {
  const Tensor lambda = weight(options.weighting, sigma, range.data);
  switch (options.weight) {
    case ContinuousWeight::uniform:
      return lambda;
    case ContinuousWeight::limit: {
      const bool quadratic = !options.stop_gradient && options.distance == Distance::lpips;
      const Tensor slope = karras_slope(range, sigma);
      return lambda * (quadratic ? slope.square() : slope);
    }
  }
  TORCH_INTERNAL_ASSERT(false, "not a weight");
}

// `value` with the gradient of `loss`. Not finite where `loss` is not.
Tensor with_gradient_of(const Tensor& loss, const Tensor& value) {
  return value + (loss - loss.detach());
}

std::function<Tensor(const Denoiser& f, const TrajectoryPoint& point, const Tensor& weight)> loss_of(
    const ContinuousOptions& options, const DistanceFunction& distance) {
  check_distance(options);
  if (!options.stop_gradient) {
    return [size = size_of(options, distance)](const Denoiser& f, const TrajectoryPoint& point,
                                               const Tensor& weight) {
      return tangent_loss(f, point, size, weight);
    };
  }
  return [metric = metric_of(options, distance)](const Denoiser& f, const TrajectoryPoint& point,
                                                 const Tensor& weight) {
    const auto [loss, u] = stop_gradient_loss(f, point, metric, weight);
    return with_gradient_of(loss, u.square().flatten(1).mean(1));
  };
}

// Skip alone: the loss needs ∂f/∂σ everywhere, which the piecewise f does not have at ε (CM Appendix C).
Method continuous_method(const ContinuousOptions& options) {
  return {.parameterizations = {Parameterization::skip},
          .distance = DistanceChoice{.kind = options.distance},
          .derivative = options.stop_gradient ? Derivative::tangent : Derivative::through_tangent};
}

Objective continuous_objective(const ContinuousOptions& options, const Binding& binding,
                               const PointOf& point_of) {
  const Model& student = binding.student;
  const uint64_t seed = binding.seed;
  const SigmaOptions range = student.options().sigma;
  const auto sigmas = [range, seed](int64_t step, const std::vector<int64_t>& samples) {
    return karras_level(range, draw_uniform(seed, step, samples));
  };
  const auto draw = [seed, sigmas](const TrainingBatch& batch) {
    return draws_of(seed, batch, {sigmas(batch.step, batch.samples)});
  };
  const auto losses = [=, loss = loss_of(options, binding.distance), &student](const TrainingBatch& batch,
                                                                               const Draws& draws) {
    const Tensor& sigma = draws.levels[0];
    const TrajectoryPoint point = point_of(batch, sigma, draws.noise);
    const Denoiser f = student.denoiser(batch.labels, draws.dropout_keys);
    return loss(f, point, weight_of(options, range, sigma));
  };
  return drawn_objective(draw, losses, sigmas);
}

}  // namespace

void validate(const ContinuousOptions& options, const Complain& complain) {
  std::vector<std::string> possible;
  for (const Distance distance : possible_distances(options.stop_gradient))
    possible.push_back(to_string(distance));
  const std::string named = to_string(options.distance);
  if (std::ranges::find(possible, named) == possible.end()) {
    complain("distance",
             concat("must be one of {", join(possible), "} ", options.stop_gradient ? "with" : "without",
                    " stop_gradient, got '", named, "'"));
  }
}

Method method_of(const ContinuousCdOptions& options, int64_t) {
  Method method = continuous_method(options);
  method.needs_teacher = true;
  return method;
}

Objective objective_of(const ContinuousCdOptions& options, const Binding& binding) {
  const PointOf of_teacher = [&teacher = *binding.teacher, guidance = binding.guidance](
                                 const TrainingBatch& batch, const Tensor& sigma, const Tensor& z) {
    return on_trajectory_of(guided_denoiser(teacher, batch.labels, guidance),
                            batch.x + per_sample(sigma, z) * z, sigma);
  };
  return continuous_objective(options, binding, of_teacher);
}

void validate(const ContinuousCtOptions& options, const Complain& complain) {
  validate(static_cast<const ContinuousOptions&>(options), complain);
  if (!options.stop_gradient) {
    complain("stop_gradient",
             "must be true: without it the gradient of consistency training is biased; continuous_cd can do "
             "without");
  }
}

Method method_of(const ContinuousCtOptions& options, int64_t) {
  return continuous_method(options);
}

Objective objective_of(const ContinuousCtOptions& options, const Binding& binding) {
  TORCH_CHECK(options.stop_gradient, "consistency training in continuous time needs stop_gradient");
  return continuous_objective(options, binding,
                              [](const TrainingBatch& batch, const Tensor& sigma, const Tensor& z) {
                                return TrajectoryPoint{batch.x + per_sample(sigma, z) * z, sigma, z};
                              });
}

}  // namespace cm
