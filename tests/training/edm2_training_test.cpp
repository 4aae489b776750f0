// Training of EDM2's network: weights that every step forces to unit magnitude, and a loss that learns.
#include <gmock/gmock.h>

#include "cm/nn/magnitude_preserving.h"
#include "cm/training/checkpoint.h"
#include "support/closeness.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"
#include "training/save_checkpoint.h"

namespace cm {
namespace {

using test::largest_difference;

ModelOptions tiny_edm2() {
  ModelOptions options = test::tiny_options(Parameterization::edm);
  options.network = test::tiny_network<Edm2Options>(/*dropout=*/0.2);
  return options;
}

struct Edm2Training {
  explicit Edm2Training(double lr, double scale = 1) : student(test::tiny_model(tiny_edm2(), 2)) {
    const torch::NoGradGuard guard;
    for (Tensor& weight : magnitude_preserving_weights(student.network())) weight.mul_(scale);
    OptimizerOptions optimizer;
    optimizer.rule = OptimizerRule::adam;
    optimizer.lr = lr;
    objective = objective_of(EdmOptions{.uncertainty = true}, {.student = student, .seed = 7});
    trainer = std::make_unique<Trainer>(test::tiny_train_options(), optimizer,
                                        EmaOptions{.rates = {0.5}, .warmup = EmaWarmup::none}, objective,
                                        student, nullptr);
  }

  StepResult step() const { return trainer->step(test::tiny_batch(trainer->steps_done())); }

  Model student;
  Objective objective;
  std::unique_ptr<Trainer> trainer;
};

double farthest_from_unit(const torch::nn::Module& module) {
  double farthest = 0;
  for (const Tensor& weight : magnitude_preserving_weights(module)) {
    const Tensor magnitudes = weight.detach().flatten(1).square().mean(1).sqrt();
    farthest = std::max(farthest, largest_difference(magnitudes, torch::ones_like(magnitudes)));
  }
  return farthest;
}

TEST(Edm2Training, AStepForcesWeightsToUnitMagnitudeBeforeItsUpdate) {
  Edm2Training run(/*lr=*/1e-9);
  EXPECT_GT(farthest_from_unit(run.student.network()), 0.1);
  run.step();
  EXPECT_LT(farthest_from_unit(run.student.network()), 1e-3);
  EXPECT_LT(farthest_from_unit(*run.objective.learned), 1e-3);
  Edm2Training updated(/*lr=*/1e-2);
  updated.step();  // the update comes after it, so that weights and averages are those of the update
  EXPECT_GT(farthest_from_unit(updated.student.network()), 3e-3);
}

TEST(Edm2Training, TheScaleOfTheStartDoesNotMatter) {
  Edm2Training one(/*lr=*/1e-2);
  Edm2Training other(/*lr=*/1e-2, /*scale=*/3);
  for (int i = 0; i < 3; ++i) EXPECT_LT(test::relative_difference(other.step().loss, one.step().loss), 1e-3);
}

TEST(Edm2Training, TheLossFalls) {
  Edm2Training run(/*lr=*/1e-2);
  // Of many draws for the same images.
  const auto loss = [&] {
    const torch::NoGradGuard guard;
    double sum = 0;
    for (int64_t step = 1000; step < 1020; ++step)
      sum += run.objective.losses(test::training_batch(test::tiny_batch(0), step)).mean().item<double>();
    return sum / 20;
  };
  const double before = loss();
  for (int i = 0; i < 100; ++i) run.trainer->step(test::tiny_batch(0));
  EXPECT_LT(loss(), before - 0.5);
}

TEST(Edm2Training, ARunGoesOnBitForBit) {
  Edm2Training whole(/*lr=*/1e-2);
  for (int i = 0; i < 4; ++i) whole.step();

  const test::TemporaryFolder folder;
  Edm2Training first(/*lr=*/1e-2);
  for (int i = 0; i < 2; ++i) first.step();
  test::save_checkpoint(folder.path(), *first.trainer, 0);
  Edm2Training second(/*lr=*/1e-2, /*scale=*/2);
  load_checkpoint(latest_checkpoint(folder.path()).value(), *second.trainer);
  for (int i = 0; i < 2; ++i) second.step();
  for (const auto& [name, weight] : whole.student.named_weights())
    EXPECT_TRUE(torch::equal(second.student.named_weights().at(name), weight)) << name;
  for (const auto& [name, weight] : weights_of(*whole.objective.learned))
    EXPECT_TRUE(torch::equal(weights_of(*second.objective.learned).at(name), weight)) << name;
  const auto& average = whole.trainer->averages().average(0);
  for (size_t i = 0; i < average.size(); ++i)
    EXPECT_TRUE(torch::equal(second.trainer->averages().average(0)[i], average[i])) << i;
}

}  // namespace
}  // namespace cm
