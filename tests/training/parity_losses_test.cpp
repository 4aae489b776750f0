// The losses and all their gradients against the official release's (tests/fixtures/losses*.safetensors),
// with its networks and draws. Progressive distillation's cases are counted, not compared: it is not among
// our methods.
#include <gtest/gtest.h>

#include <sstream>

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/losses.h"
#include "support/closeness.h"
#include "support/fixture_model.h"
#include "support/gradient_parity.h"

namespace cm {
namespace {

using test::elementwise_difference;
using test::Fixture;
using test::relative_difference;

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  std::istringstream stream(name);
  for (std::string part; std::getline(stream, part, '.');) parts.push_back(part);
  return parts;
}

template <class Enum>
Enum named(const std::string& name) {
  const auto value = from_name<Enum>(name);
  if (!value) throw std::runtime_error(name + " is none of {" + join(all_names<Enum>()) + "}");
  return *value;
}

Tensor labels_of(const Fixture& fixture) {
  return fixture.has("labels") ? fixture["labels"] : Tensor();
}

// The loss of each sample, its gradients, and the denoiser's answer that it was made from.
void expect_loss(const Fixture& fixture, const std::string& name, const Model& student, const Tensor& loss) {
  EXPECT_LT(elementwise_difference(loss, fixture[name + ".loss"]), 1e-4);
  student.network().zero_grad();
  loss.mean().backward();
  test::expect_gradients(fixture, name + ".", student.network());
}

void check_edm(const Fixture& fixture, const std::string& name) {
  const Model student = test::fixture_model(fixture, "student.", Parameterization::edm);
  const Denoiser denoiser = student.denoiser(labels_of(fixture));
  const Tensor& sigma = fixture["edm_sigma"];
  const auto weighting = named<Weighting>(split(name).at(1));
  const Tensor loss = denoising_loss(denoiser, fixture["x0"], fixture["noise"], sigma,
                                     weight(weighting, sigma, student.options().sigma.data));
  expect_loss(fixture, name, student, loss);
  EXPECT_LT(relative_difference(denoiser(fixture["edm.x_t"], sigma), fixture["edm.student_denoised"]), 2e-5);
  const Tensor unweighted =
      denoising_loss(denoiser, fixture["x0"], fixture["noise"], sigma, torch::ones_like(sigma));
  EXPECT_LT(elementwise_difference(unweighted, fixture[name + ".unweighted"]), 1e-4);
}

// The pairs of the fixture's indices on our grid; index 0 is σ_max.
void check_levels(const Fixture& fixture, const SigmaOptions& sigma, const SigmaPair& pair) {
  const auto n = fixture.config.at("N").get<int64_t>();
  for (int64_t i = 0; i < pair.t.numel(); ++i) {
    const auto index = fixture["index"][i].item<double>();
    const double t = karras_sigma(sigma, n, index);
    const double r = karras_sigma(sigma, n, index + 1);
    EXPECT_NEAR(pair.t[i].item<double>(), t, 2e-5 * t);
    EXPECT_NEAR(pair.r[i].item<double>(), r, 2e-5 * r);
  }
}

// "ct" steps along the data, "cd_SOLVER" along the teacher's ODE.
PreviousPoint previous_of(const std::string& family, const Model& teacher, const Tensor& labels) {
  if (family == "ct") return data_step();
  if (!family.starts_with("cd_")) throw std::runtime_error("losses of " + family + " are none of ours");
  return teacher_step(named<Solver>(family.substr(3)), teacher.denoiser(labels));
}

void check_consistency(const Fixture& fixture, const std::string& name) {
  const auto parts = split(name);
  const std::string prefix = parts.at(0) + ".";
  const Model student = test::fixture_model(fixture, "student.", Parameterization::skip);
  const Model target = test::fixture_model(fixture, "target.", Parameterization::skip);
  const Model teacher = test::fixture_model(fixture, "teacher.", Parameterization::edm);
  const Tensor labels = labels_of(fixture);
  const SigmaOptions sigma = student.options().sigma;
  const SigmaPair pair{fixture[prefix + "t"], fixture[prefix + "t_next"]};
  check_levels(fixture, sigma, pair);

  const auto kind = named<Distance>(parts.at(1));
  const auto weighting = named<Weighting>(parts.at(2));
  const PreviousPoint previous = previous_of(parts.at(0), teacher, labels);
  const Tensor loss = consistency_loss(
      student.denoiser(labels), target.denoiser(labels), previous,
      [kind](const Tensor& a, const Tensor& b) { return distance(kind, a, b); }, fixture["x0"],
      fixture["noise"], pair, weight(weighting, pair.t, sigma.data));
  expect_loss(fixture, name, student, loss);

  const torch::NoGradGuard guard;
  const auto theirs = [&](const std::string& tensor) { return fixture[prefix + tensor]; };
  const Tensor x_next = previous(theirs("x_t"), fixture["x0"], pair);
  EXPECT_LT(relative_difference(x_next, theirs("x_next")), 1e-5);
  const Tensor student_denoised = student.denoiser(labels)(theirs("x_t"), pair.t);
  EXPECT_LT(relative_difference(student_denoised, theirs("student_denoised")), 2e-5);
  const Tensor target_denoised = target.denoiser(labels)(theirs("x_next"), pair.r);
  EXPECT_LT(relative_difference(target_denoised, theirs("target_denoised")), 2e-5);
}

TEST(ParityLosses, AgreeWithTheReference) {
  int64_t checked = 0;
  int64_t skipped = 0;
  for (const auto& fixture : test::fixtures("losses")) {
    for (const auto& name : fixture.config.at("cases").get<std::vector<std::string>>()) {
      SCOPED_TRACE(fixture.name + " " + name);
      const std::string family = split(name).at(0);
      if (family == "pd") {
        ++skipped;
        continue;
      }
      family == "edm" ? check_edm(fixture, name) : check_consistency(fixture, name);
      ++checked;
    }
  }
  EXPECT_GT(checked, 0) << "no loss in any case";
  RecordProperty("skipped_pd", std::to_string(skipped));
}

}  // namespace
}  // namespace cm
