// The losses and all their gradients against the official release's (tests/fixtures/losses*.safetensors),
// with its networks and draws.
#include <gtest/gtest.h>

#include <sstream>

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/losses.h"
#include "src/training/level_pairs.h"
#include "support/fixture_model.h"
#include "support/gradient_parity.h"
#include "support/parity.h"
#include "support/recorded.h"

namespace cm {
namespace {

using test::elementwise;
using test::expect_parity;
using test::Fixture;
using test::named;
using test::relative;

// A loss "FAMILY.….…", whose networks' inputs and outputs the fixture keeps under FAMILY.
struct Case {
  const Fixture& fixture;
  std::string name;
  std::vector<std::string> words;

  const Tensor& of_family(const std::string& tensor) const { return fixture[words.at(0) + "." + tensor]; }
  test::ParityQuantity quantity(const std::string& of) const { return {fixture.part(name), of}; }
};

Case parse_case(const Fixture& fixture, const std::string& name) {
  std::vector<std::string> words;
  std::istringstream stream(name);
  for (std::string word; std::getline(stream, word, '.');) words.push_back(word);
  return {fixture, name, words};
}

// One number a sample, and the gradients of their mean.
void expect_loss(const Case& c, const Model& student, const Tensor& loss) {
  expect_parity(c.quantity("loss"), elementwise(loss, c.fixture[c.name + ".loss"]), 1e-4);
  student.network().zero_grad();
  loss.mean().backward();
  test::expect_gradients(c.fixture, c.name, student.network());
}

// The only call of a loss to one of its networks: its input, named `x`, and its output, named `denoised`.
void expect_call(const Case& c, const test::DenoiserCalls& calls, const std::string& x,
                 const std::string& denoised) {
  ASSERT_EQ(calls.x.size(), 1);
  expect_parity(c.quantity(x), relative(calls.x.front(), c.of_family(x)), 1e-5);
  expect_parity(c.quantity(denoised), relative(calls.denoised.front(), c.of_family(denoised)), 1e-5);
}

void check_edm(const Case& c) {
  const Fixture& fixture = c.fixture;
  const Model student = test::fixture_model(fixture, "student.", Parameterization::edm);
  const Tensor& sigma = fixture["edm_sigma"];
  const auto loss_weighted = [&](const Denoiser& denoiser, const Tensor& weight) {
    return denoising_loss(denoiser, fixture["x0"], fixture["noise"], sigma, weight);
  };
  const Denoiser denoiser = student.denoiser(fixture.labels());
  test::DenoiserCalls calls;
  expect_loss(c, student,
              loss_weighted(test::recorded(denoiser, calls),
                            weight(named<Weighting>(c.words.at(1)), sigma, student.options().sigma.data)));
  expect_call(c, calls, "x_t", "student_denoised");
  expect_parity(
      c.quantity("unweighted loss"),
      elementwise(loss_weighted(denoiser, torch::ones_like(sigma)), fixture[c.name + ".unweighted"]), 1e-4);
}

// The pairs of the fixture's indices on our grid, whose index 0 is σ_max.
SigmaPair pairs_of(const Case& c, const SigmaOptions& sigma) {
  const auto n = c.fixture.config.at("N").get<int64_t>();
  std::vector<double> t;
  std::vector<double> r;
  for (int64_t i = 0; i < c.fixture["index"].numel(); ++i) {
    const auto index = c.fixture["index"][i].item<double>();
    t.push_back(karras_sigma(sigma, n, index));
    r.push_back(karras_sigma(sigma, n, index + 1));
  }
  return {torch::tensor(t, torch::kFloat64), torch::tensor(r, torch::kFloat64)};
}

// "ct" steps along the data, "cd_SOLVER" along the teacher's ODE.
PreviousPoint previous_of(const std::string& family, const Model& teacher, const Tensor& labels) {
  if (family == "ct") return data_step();
  if (!family.starts_with("cd_")) throw std::runtime_error("losses of " + family + " are none of ours");
  return teacher_step(named<Solver>(family.substr(3)), teacher.denoiser(labels));
}

void check_consistency(const Case& c) {
  const Fixture& fixture = c.fixture;
  const Model student = test::fixture_model(fixture, "student.", Parameterization::skip);
  const Model target = test::fixture_model(fixture, "target.", Parameterization::skip);
  const Model teacher = test::fixture_model(fixture, "teacher.", Parameterization::edm);
  const SigmaOptions sigma = student.options().sigma;

  const SigmaPair ours = pairs_of(c, sigma);
  const SigmaPair pair{c.of_family("t"), c.of_family("t_next")};
  expect_parity(c.quantity("levels"), elementwise(ours.t, pair.t), 2e-5);
  expect_parity(c.quantity("levels"), elementwise(ours.r, pair.r), 2e-5);

  const auto kind = named<Distance>(c.words.at(1));
  const Tensor labels = fixture.labels();
  test::DenoiserCalls student_calls;
  test::DenoiserCalls target_calls;
  const Tensor loss = consistency_loss(
      test::recorded(student.denoiser(labels), student_calls),
      test::recorded(target.denoiser(labels), target_calls), previous_of(c.words.at(0), teacher, labels),
      [kind](const Tensor& a, const Tensor& b) { return distance(kind, a, b); }, fixture["x0"],
      fixture["noise"], pair, weight(named<Weighting>(c.words.at(2)), pair.t, sigma.data));
  expect_loss(c, student, loss);
  expect_call(c, student_calls, "x_t", "student_denoised");
  expect_call(c, target_calls, "x_next", "target_denoised");
}

HostHalvedSteps halved_steps_of(const Case& c, const SigmaOptions& sigma) {
  const Tensor& index = c.fixture["index_progressive"];
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < index.numel(); ++i) indices.push_back(index[i].item<int64_t>());
  return halved_steps_at(sigma, c.fixture.config.at("N_progressive").get<int64_t>(), indices);
}

void check_progressive(const Case& c) {
  const Fixture& fixture = c.fixture;
  const Model student = test::fixture_model(fixture, "student.", Parameterization::edm);
  const Model teacher = test::fixture_model(fixture, "teacher.", Parameterization::edm);
  const SigmaOptions sigma = student.options().sigma;

  const HostHalvedSteps ours = halved_steps_of(c, sigma);
  const HalvedStep step{c.of_family("t"), c.of_family("t_mid"), c.of_family("t_end")};
  expect_parity(c.quantity("levels"), elementwise(ours.t, step.t), 2e-5);
  expect_parity(c.quantity("levels"), elementwise(ours.mid, step.mid), 2e-5);
  expect_parity(c.quantity("levels"), elementwise(ours.end, step.end), 2e-5);

  const auto kind = named<Distance>(c.words.at(1));
  const Tensor labels = fixture.labels();
  test::DenoiserCalls student_calls;
  test::DenoiserCalls teacher_calls;
  Tensor target;
  const auto recorded_distance = [kind, &target](const Tensor& a, const Tensor& b) {
    target = b;
    return distance(kind, a, b);
  };
  const Tensor loss = progressive_loss(test::recorded(student.denoiser(labels), student_calls),
                                       test::recorded(teacher.denoiser(labels), teacher_calls),
                                       recorded_distance, fixture["x0"], fixture["noise"], step,
                                       weight(named<Weighting>(c.words.at(2)), step.t, sigma.data));
  expect_loss(c, student, loss);
  expect_call(c, student_calls, "x_t", "student_denoised");
  ASSERT_EQ(teacher_calls.x.size(), 2);
  expect_parity(c.quantity("x_mid"), relative(teacher_calls.x[1], c.of_family("x_mid")), 1e-5);
  const std::array denoised = {"teacher_denoised_1", "teacher_denoised_2"};
  for (size_t i = 0; i < denoised.size(); ++i) {
    expect_parity(c.quantity(denoised[i]), relative(teacher_calls.denoised[i], c.of_family(denoised[i])),
                  1e-5);
  }
  expect_parity(c.quantity("target"), relative(target, c.of_family("target")), 1e-4);
  // Where one step to the target arrives.
  const Denoiser implied = [&target](const Tensor&, const Tensor&) { return target; };
  const Tensor x_end = solver_step(Solver::euler, implied, student_calls.x.front(), step.t, step.end);
  expect_parity(c.quantity("x_end"), relative(x_end, c.of_family("x_end")), 1e-5);
}

TEST(ParityLosses, AgreeWithTheReference) {
  test::check_cases("losses", [](const Fixture& fixture) {
    for (const auto& name : fixture.config.at("cases").get<std::vector<std::string>>()) {
      SCOPED_TRACE(name);
      const Case c = parse_case(fixture, name);
      if (c.words.at(0) == "edm") {
        check_edm(c);
      } else if (c.words.at(0) == "pd") {
        check_progressive(c);
      } else {
        check_consistency(c);
      }
    }
  });
}

}  // namespace
}  // namespace cm
