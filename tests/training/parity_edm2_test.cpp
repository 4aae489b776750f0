// A training step of EDM2's network against its code (tests/fixtures/edm2*.safetensors): the losses with
// learned uncertainty and their gradients at weights that were forced to unit magnitude, the weights after
// one update by Adam, and what the network answers then.
#include <gtest/gtest.h>

#include "cm/base/random.h"
#include "cm/nn/magnitude_preserving.h"
#include "cm/training/edm_objective.h"
#include "cm/training/trainer.h"
#include "support/edm2_fixture.h"
#include "support/formula_weights.h"
#include "support/gradient_parity.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;
using test::relative;

ModelOptions edm2_model_options(const Json& network) {
  ModelOptions options;
  options.network = test::edm2_options(network);
  options.image = test::edm2_image(network);
  options.parameterization = Parameterization::edm;
  return options;
}

// Before its first step, with the fixture's weights and draws.
struct Edm2Run {
  explicit Edm2Run(const Fixture& fixture)
      : arguments(fixture.config.at("network")),
        student(edm2_model_options(arguments), test::parity_device()),
        objective(objective_of(EdmOptions{.p_mean = -0.8, .p_std = 1.6, .uncertainty = true},
                               {.student = student})),
        batch{fixture["train.x"], fixture.labels()} {
    const NamedTensors weights = test::formula_weights(fixture.config);
    copy_weights(test::from_edm_order(test::edm2_part(weights, false)), student.network(), fixture.name);
    copy_weights(test::edm2_part(weights, true), *objective.learned, fixture.name);
    const Draws draws{fixture["train.noise"], {fixture["train.sigma"]}};
    objective.draw = [draws](const TrainingBatch&) { return draws; };
  }

  // Of network and uncertainty, in the order of the fixture.
  template <class Of>
  NamedTensors each(const Of& of) const {
    NamedTensors tensors;
    const auto add = [&](const torch::nn::Module& module) {
      for (const auto& parameter : module.named_parameters())
        tensors[parameter.key()] = of(parameter.value());
    };
    add(student.network());
    add(*objective.learned);
    return test::to_edm_order(std::move(tensors));
  }

  const Json& arguments;
  Model student;
  Objective objective;
  Batch batch;
};

void check_losses(const Fixture& fixture) {
  Edm2Run run(fixture);
  normalize_weights(magnitude_preserving_weights(run.student.network()));
  normalize_weights(magnitude_preserving_weights(*run.objective.learned));
  TrainingBatch batch{run.batch.x, run.batch.labels, 0, sample_range(0, run.batch.x.size(0))};
  batch.draws = run.objective.draw(batch);
  const Tensor losses = run.objective.losses(batch);
  expect_parity({fixture.name, "losses with uncertainty"}, relative(losses, fixture["train.losses"]), 2e-5);
  losses.mean().backward();
  test::expect_gradients(fixture, "train", run.each([](const Tensor& p) { return p.grad(); }));
}

// The whole tensor, or where the fixture stores four numbers of it, these.
void expect_after(const Fixture& fixture, const std::string& name, const Tensor& weight) {
  SCOPED_TRACE(name);
  const std::string whole = "train.after." + name;
  if (fixture.has(whole)) {
    expect_parity({fixture.name, "weights after a step"}, relative(weight, fixture[whole]), 1e-5);
  } else {
    const Tensor& digest = fixture["train.afterdigest." + name];
    test::expect_digest({fixture.name, "weights after a step"}, weight, digest, test::largest(weight));
  }
}

void check_step(const Fixture& fixture) {
  Edm2Run run(fixture);
  const Json& adam = fixture.config.at("optimizer");
  OptimizerOptions optimizer;
  optimizer.rule = OptimizerRule::adam;
  optimizer.lr = adam.at("lr").get<double>();
  optimizer.betas = adam.at("betas").get<std::vector<double>>();
  optimizer.eps = adam.at("eps").get<double>();
  TrainOptions options;
  options.batch_size = run.batch.x.size(0);
  Trainer trainer(options, optimizer, {}, run.objective, run.student, nullptr);
  const StepResult result = trainer.step(run.batch);
  expect_parity({fixture.name, "mean loss"}, relative(result.loss, fixture["train.losses"].mean()), 1e-5);
  for (const auto& [name, weight] : run.each([](const Tensor& p) { return p.detach(); }))
    expect_after(fixture, name, weight);
  const torch::NoGradGuard guard;
  const Tensor output =
      run.student.network().forward(fixture["x"], {fixture["noise_labels"], fixture.labels()});
  expect_parity({fixture.name, "output after a step"}, relative(output, fixture["train.output"]), 2e-5);
}

TEST(ParityEdm2Training, LossesAndGradientsAgreeWithItsCode) {
  test::check_cases("edm2", check_losses);
}

TEST(ParityEdm2Training, AStepAgreesWithItsCode) {
  test::check_cases("edm2", check_step);
}

}  // namespace
}  // namespace cm
