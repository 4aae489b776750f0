// What the training loop asks of a method. Each method binds a loss (cm/training/losses.h) to the draws of a
// step, to networks and to its schedules: see edm_objective.h and its neighbours.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

// What a step draws for its batch, on the batch's device: all in a loss that depends on the step's number.
struct Draws {
  Tensor noise;                // z, unit normal of x's shape; of pairs their x_T, which is drawn already
  std::vector<Tensor> levels;  // fp32 [B] each: the noise levels, and what else of a sample the method needs
  Tensor dropout_keys = {};    // int64 [B] (cm/kernels/dropout.h); without them nothing is dropped
};

// A part of the step's batch, on the model's device.
struct TrainingBatch {
  Tensor x;                      // fp32 [B, C, H, W] in [−1, 1]
  Tensor labels;                 // int64 [B], undefined where there are no classes
  int64_t step = 0;              // k, counted from 0
  std::vector<int64_t> samples;  // each sample's index in the whole batch: decides its noise and σ
  std::optional<Draws> draws =
      std::nullopt;  // Objective::draw's of these samples, where they are there already
  Tensor x_T = {};   // what x was made of, where the data is pairs (cm/data/pairs.h): for Objective::draw
};

// Where a method stands at step k.
struct CurriculumPoint {
  std::optional<int64_t> levels;  // N(k), where the method has a grid
  std::optional<double> decay;    // μ(k), where the method has a target network
};

// A part of training that starts anew.
struct Stage {
  int64_t first = 0;          // its first step
  int64_t length = 0;         // steps over which its learning rate takes its course
  int64_t sampler_steps = 0;  // N: Euler steps that its student makes an image in
};

class Model;

// What a method in stages asks: at the first step of each stage after the first, `teacher` becomes a frozen
// copy of the student, which trains on with new optimizer moments, averages and learning rate.
struct Stages {
  std::function<Stage(int64_t step)> at;
  Model* teacher = nullptr;
};

struct Objective {
  // One loss a sample, [B], differentiable in the student.
  std::function<Tensor(const TrainingBatch& batch)> losses;
  // What `losses` draws for a batch. Nothing is waited for.
  std::function<Draws(const TrainingBatch& batch)> draw;
  // The (larger) noise level of each sample, float64 [B] on the CPU: what `losses` uses, for messages.
  std::function<Tensor(int64_t step, const std::vector<int64_t>& samples)> sigmas;
  std::function<CurriculumPoint(int64_t step)> curriculum = [](int64_t) { return CurriculumPoint{}; };
  std::optional<Stages> stages = std::nullopt;
  // Steps of one form do the same operations; where it changes, recorded steps (RecordedStep) begin anew.
  std::function<int64_t(int64_t step)> form = [](int64_t) { return 0; };
  // What the loss itself learns, trained along with the student and of no use after training; null for most.
  std::shared_ptr<torch::nn::Module> learned = nullptr;
};

}  // namespace cm
