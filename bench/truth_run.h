// One row of cm-truths: a case trained, and measured against the exact consistency function.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cm/training/model.h"
#include "truth_cases.h"
#include "truth_measures.h"

namespace cm::truths {

// Trains the cases in the way of the real executables: their objectives, target averages, stages and Trainer,
// with a perceptron for the U-Net, fresh samples of the mixture for a dataset, and for a teacher the
// mixture's own denoiser.
class Study {
 public:
  // Of `cases`, those that students start from are trained when the first of them asks for it.
  Study(std::vector<Case> cases, Reference reference);

  // The row: name, settings, seconds of training (that of the start not included), rms before training,
  // `measure` of the learned function, the error of the exact denoiser's own walk along the same grid
  // (grid_rms, null without a grid) and, for progressive distillation, the student at the end of each stage.
  Json row(const Case& one);

 private:
  struct Trained {
    Model student;
    double seconds = 0;
    Json untrained_rms = nullptr;
    Json stages = nullptr;
  };

  const Trained& trained(const Case& one);
  Trained train(const Case& one);
  Model student_of(const Case& one);

  std::vector<Case> cases_;
  std::map<std::string, Trained> trained_;
  Reference reference_;
};

}  // namespace cm::truths
