// Every sampler against the official release's (tests/fixtures/samplers*.safetensors), with its network and
// its draws: the grid, the levels it asks the denoiser for, the answers, and the image, clamped on the way or
// not.
#include <gtest/gtest.h>

#include "cm/training/sampling.h"
#include "support/fixture_model.h"
#include "support/parity.h"
#include "support/recorded.h"

namespace cm {
namespace {

using test::elementwise;
using test::expect_parity;
using test::Fixture;
using test::relative;

SamplerRequest request_of(const Json& run) {
  SamplerRequest request;
  request.kind = test::named<Sampler>(run.at("sampler").get<std::string>());
  if (*request.kind == SamplerKind::multistep) {
    request.indices = run.at("ts").get<std::vector<int64_t>>();
    request.grid = run.at("steps").get<int64_t>();
  } else if (*request.kind != SamplerKind::onestep) {
    request.steps = run.at("steps").get<int64_t>();
  }
  Churn& churn = request.churn;
  churn.s_churn = run.value("s_churn", churn.s_churn);
  churn.s_tmin = run.value("s_tmin", churn.s_tmin);
  churn.s_tmax = run.value("s_tmax", churn.s_tmax);
  churn.s_noise = run.value("s_noise", churn.s_noise);
  return request;
}

// The levels of the walk on the release's grid, which goes down to 0 even where its sampler stops before.
Tensor walked_levels(const Tensor& grid, const SamplerRequest& request, const SamplerOptions& options) {
  const Tensor levels = grid.to(torch::kCPU, torch::kFloat64);
  if (!request.indices.empty()) return levels.index_select(0, torch::tensor(request.indices));
  return levels.narrow(0, 0, static_cast<int64_t>(options.sigmas.size()));
}

void check_walk(const Fixture& fixture, const std::string& name, const Model& model, SamplerOptions options,
                bool clamp) {
  const std::string prefix = name + (clamp ? ".clip." : ".noclip.");
  SCOPED_TRACE(prefix);
  const SampleNoise draws{fixture[name + ".x_T"],
                          [&](int64_t step) { return fixture[name + ".noise." + std::to_string(step)]; }};
  const Tensor labels = fixture.labels(name);
  options.clamp = clamp;
  test::DenoiserCalls calls;
  const Tensor x = no_grad([&] {
    return walk(test::recorded(model.denoiser(labels), calls), options, draws, model.options().sigma.min);
  });
  const std::string part = fixture.part(name);
  expect_parity({part, "levels of the calls"},
                elementwise(torch::stack(calls.sigma), fixture[prefix + "call_sigma"]), 2e-5);
  expect_parity({part, "answers"}, relative(torch::stack(calls.denoised), fixture[prefix + "call_denoised"]),
                1e-4);
  expect_parity({part, "images before the last clamp"}, relative(x, fixture[prefix + "x_unclamped"]), 1e-4);
  expect_parity({part, "images"}, relative(sample(model, options, draws, labels), fixture[prefix + "x"]),
                1e-4);
  EXPECT_EQ(evaluations(options), fixture[prefix + "call_sigma"].size(0));
}

void check(const Fixture& fixture, const std::string& name, const Model& model, const Json& run) {
  const SamplerRequest request = request_of(run);
  const SamplerOptions options = choose_sampler(request, model.options());
  const Tensor& grid = fixture[name + ".sigmas"];
  const Tensor levels = walked_levels(grid, request, options);
  const auto expect_grid = [&](const std::vector<double>& ours, const Tensor& theirs) {
    expect_parity({fixture.part(name), "grid"}, elementwise(torch::tensor(ours, torch::kFloat64), theirs),
                  2e-5);
  };
  expect_grid(sampler_sigmas(model.options().sigma, grid.size(0) - 1), grid);
  expect_grid(options.sigmas, levels);
  for (const bool clamp : {true, false}) check_walk(fixture, name, model, options, clamp);
}

TEST(ParitySamplers, AgreeWithTheReference) {
  test::check_cases("samplers", [](const Fixture& fixture) {
    const Model denoiser = test::fixture_model(fixture, "model.", Parameterization::edm);
    const Model consistency = test::fixture_model(fixture, "model.", Parameterization::skip);
    for (const auto& [name, run] : fixture.config.at("runs").items()) {
      const bool is_consistency = run.at("consistency_parameterization").get<bool>();
      check(fixture, name, is_consistency ? consistency : denoiser, run);
    }
  });
}

}  // namespace
}  // namespace cm
