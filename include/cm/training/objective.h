// What the training loop asks of a method, and the methods: each binds a loss (cm/training/losses.h) to the
// draws of a step, to networks and to its schedules.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/curriculum.h"
#include "cm/training/losses.h"
#include "cm/training/model.h"

namespace cm {

// A part of the step's batch, on the model's device.
struct TrainingBatch {
  Tensor x;                      // fp32 [B, C, H, W] in [−1, 1]
  Tensor labels;                 // int64 [B], undefined where there are no classes
  int64_t step = 0;              // k, counted from 0
  std::vector<int64_t> samples;  // each sample's index in the whole batch: decides its noise and σ
};

// Where a method stands at step k.
struct CurriculumPoint {
  std::optional<int64_t> levels;  // N(k), where the method has a grid
  std::optional<double> decay;    // μ(k), where the method has a target network
};

struct Objective {
  // One loss a sample, [B], differentiable in the student.
  std::function<Tensor(const TrainingBatch& batch)> losses;
  // The (larger) noise level of each sample, float64 [B] on the CPU: what `losses` uses, for messages.
  std::function<Tensor(int64_t step, const std::vector<int64_t>& samples)> sigmas;
  std::function<CurriculumPoint(int64_t step)> curriculum;
};

// ln σ ~ N(p_mean, p_std²).
struct LogNormal {
  double mean;
  double std;
};

// EDM's denoising score matching (EDM §5, Table 1).
struct EdmOptions {
  double p_mean = -1.2;
  double p_std = 1.2;
  Weighting weighting = Weighting::karras;
};

template <class Visitor>
void fields(Visitor& visit, EdmOptions& o) {
  visit("p_mean", o.p_mean, "mean of ln σ in training");
  visit("p_std", o.p_std, "standard deviation of ln σ in training", above(0));
  visit("weighting", o.weighting, "λ(σ)");
}

Objective edm_objective(const EdmOptions& options, const Model& student, uint64_t seed);

// Consistency distillation (CM Algorithm 2).
struct CdOptions {
  int64_t n = 18;
  Solver solver = Solver::heun;
  Distance distance = Distance::l2;
  Weighting weighting = Weighting::uniform;
  double mu = 0.95;
};

template <class Visitor>
void fields(Visitor& visit, CdOptions& o) {
  visit("n", o.n, "levels N of the Karras grid", at_least(2));
  visit("solver", o.solver, "the teacher's ODE solver");
  visit("distance", o.distance, "d");
  visit("weighting", o.weighting, "λ at the larger noise level");
  visit("mu", o.mu, "the target's decay μ; 0 copies the student", from_below(0, 1));
}

// `teacher` is an EDM denoiser with the student's classes. `distance` here and below: what the options name,
// made by make_distance (cm/training/distance_function.h).
Objective cd_objective(const CdOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, const Model& teacher, uint64_t seed);

// Consistency training (CM Algorithm 3).
struct CtOptions {
  LevelOptions levels;
  DecayOptions target{.schedule = DecaySchedule::adaptive, .mu = 0.9};
  Distance distance = Distance::l2;
  Weighting weighting = Weighting::uniform;
};

template <class Visitor>
void fields(Visitor& visit, CtOptions& o) {
  visit("levels", o.levels, "N(k)");
  visit("target", o.target, "μ(k)");
  visit("distance", o.distance, "d");
  visit("weighting", o.weighting, "λ at the larger noise level");
}

Objective ct_objective(const CtOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, int64_t total_steps, uint64_t seed);

// Improved consistency training (iCT): θ⁻ = sg θ, pseudo-Huber, log-normal σ on the grid, λ = 1/(t − r).
struct IctOptions {
  LevelOptions levels{.schedule = LevelSchedule::doubling, .s0 = 10, .s1 = 1280};
  double p_mean = -1.1;
  double p_std = 2.0;
  Distance distance = Distance::pseudo_huber;
  double huber_c = kHuberC;
};

template <class Visitor>
void fields(Visitor& visit, IctOptions& o) {
  visit("levels", o.levels, "N(k)");
  visit("p_mean", o.p_mean, "mean of ln σ of the distribution over the grid");
  visit("p_std", o.p_std, "standard deviation of ln σ of the distribution over the grid", above(0));
  visit("distance", o.distance, "d");
  visit("huber_c", o.huber_c, "pseudo-Huber's c, divided by √(C·H·W)", above(0));
}

Objective ict_objective(const IctOptions& options, const DistanceFunction& distance, const Model& student,
                        int64_t total_steps, uint64_t seed);

// iCT's p(i) ∝ erf((ln σ_{i+1} − P_mean)/(√2 P_std)) − erf((ln σ_i − P_mean)/(√2 P_std)) over the N − 1 pairs
// of an ascending grid, as a cumulative distribution that ends at 1 (iCT Eq. 9).
std::vector<double> lognormal_pair_cdf(const std::vector<double>& sigmas, const LogNormal& distribution);

}  // namespace cm
