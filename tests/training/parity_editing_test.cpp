// CM Algorithm 4 against the official release's, and with classes on diffusers' network
// (tests/fixtures/editing*.safetensors): inpainting, super-resolution and colorization with their start and
// draws.
#include <gtest/gtest.h>

#include "cm/diffusion/editing.h"
#include "support/fixture_model.h"
#include "support/parity.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;
using test::relative;

// The network whose weights lie in another file: "weights_in": "samplers.safetensors, prefix 'model.'".
Model model_of(const Fixture& fixture) {
  const auto where = fixture.config.at("weights_in").get<std::string>();
  const std::string file = where.substr(0, where.find(','));
  const size_t quote = where.find('\'');
  const std::string prefix = where.substr(quote + 1, where.rfind('\'') - quote - 1);
  const Fixture with_weights{.name = fixture.name,
                             .config = fixture.config,
                             .tensors = load_safetensors(test::fixture_folder() / file).tensors};
  return test::fixture_model(with_weights, prefix, Parameterization::skip);
}

Constraint constraint_of(const Fixture& fixture, const std::string& task) {
  const Tensor& y = fixture[task + ".image"];
  if (task.starts_with("inpainting")) return known_pixels(y, fixture[task + ".mask"] == 1);
  if (task.starts_with("colorization"))
    return known_luma(y, fixture.config.at("luma").get<std::array<double, 3>>());
  if (task.starts_with("superresolution")) {
    return known_patch_means(y, fixture.config.at("superresolution_patch").get<int64_t>());
  }
  throw std::runtime_error("editing task " + task + " is none of ours");
}

// The time points that the indices `ts` name.
std::vector<double> times_of(const Json& run, const SigmaOptions& sigma) {
  std::vector<double> times;
  for (const auto index : run.at("ts").get<std::vector<int64_t>>()) {
    times.push_back(karras_sigma(sigma, run.at("steps").get<int64_t>(), static_cast<double>(index)));
  }
  return times;
}

// What is kept; the release paints the pixels that are not known black.
void check_known_part(const Fixture& fixture, const std::string& task, const Constraint& constraint) {
  Tensor kept = known_part(constraint);
  if (fixture.has(task + ".mask")) kept = torch::where(constraint.known, kept, -torch::ones_like(kept));
  expect_parity({fixture.part(task), "known part"}, relative(kept, fixture[task + ".observed"]), 1e-6);
}

void check_task(const Fixture& fixture, const std::string& task, const Json& run, const Model& model) {
  const SigmaOptions& sigma = model.options().sigma;
  const Constraint constraint = constraint_of(fixture, task);
  check_known_part(fixture, task, constraint);
  int64_t draws = 0;
  const NoiseSource noise = [&](int64_t step) {
    ++draws;
    return fixture[task + ".noise." + std::to_string(step)];
  };
  const Tensor x = edit_multistep(clamped(model.denoiser(fixture.labels(task))), constraint,
                                  fixture[task + ".x_T"], times_of(run, sigma), sigma.min, noise);
  expect_parity({fixture.part(task), "images"}, relative(x, fixture[task + ".x"]), 1e-4);
  EXPECT_LE(draws, run.at("noises").get<int64_t>());
}

TEST(ParityEditing, AgreesWithTheReference) {
  const torch::NoGradGuard guard;
  test::check_cases("editing", [](const Fixture& fixture) {
    const Model model = model_of(fixture);
    for (const auto& [task, run] : fixture.config.at("runs").items()) check_task(fixture, task, run, model);
  });
}

}  // namespace
}  // namespace cm
