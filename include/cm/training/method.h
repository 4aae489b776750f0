// What a method says of itself. A method is its struct of options (cd_objective.h and its neighbours), with
//
//   static constexpr MethodName name            what the config and the executables call it
//   fields, and validate where options depend on one another (cm/base/fields.h)
//   Method method_of(options, total_steps)      what a run must know of it before it trains
//   Objective objective_of(options, binding)    its loss, bound to draws and networks
//
// and its line in methods.h. Nothing else knows its name.
#pragma once

#include <string_view>

#include "cm/diffusion/guidance.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/training/distance_function.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"

namespace cm {

struct MethodName {
  std::string_view objective;   // as `objective` in a config has it, and the name of its section
  std::string_view executable;  // that trains it
  std::string_view help;
};

// What a loss takes of the student besides its value.
enum class Derivative {
  none,
  tangent,          // its Jacobian-vector product, held fixed
  through_tangent,  // the same, learned through: the network is differentiated twice
};

struct Method {
  bool needs_teacher = false;  // a frozen diffusion model, whose weights the student starts from
  bool needs_init = false;     // start weights: it tunes a model that was trained before
  bool keeps_start = false;    // these are a consistency function, which it goes on asking as they are
  bool takes_pairs = false;    // data of pairs, from which it learns what a teacher said
  bool has_target = false;     // a target network that follows the student as an average
  bool has_stages = false;     // its students become its teachers
  // Those that it can train; the first is the default.
  std::vector<Parameterization> parameterizations = {};
  // The noise level from which on the student is trained; none: from σ_min on.
  std::optional<double> transition = std::nullopt;
  std::optional<DistanceChoice> distance = std::nullopt;
  // The grid whose indices name time points in sampling: the N of the last training step, where there is a
  // grid.
  std::optional<int64_t> last_levels = std::nullopt;
  // The steps that a teacher of few steps (progressive distillation) must take; none: it cannot be taught by
  // one.
  std::optional<int64_t> teacher_steps = std::nullopt;
  Derivative derivative = Derivative::none;
  // The weight of the guidance that the target itself has and the student learns; it needs the null class.
  std::optional<double> target_guidance = std::nullopt;
  // Neighbouring samples of a batch that belong together: no part of it divides them.
  int64_t group = 1;
};

// What an objective is bound to: models, which must outlive it, and the run. Target, teacher and start (a
// frozen copy of what the student started from) are there where method_of says so, and have the student's
// classes; progressive distillation changes its teacher. The teacher is asked for D_w of `guidance`
// (cm/training/guided_model.h). `distance` is what method_of names, made by make_distance
// (cm/training/distance_function.h).
struct Binding {
  const Model& student;
  const Model* target = nullptr;
  Model* teacher = nullptr;
  const Model* start = nullptr;
  DistanceFunction distance = nullptr;
  Guidance guidance = {};
  int64_t total_steps = 0;
  uint64_t seed = 0;
};

}  // namespace cm
