// Every sampler against the official release's (tests/fixtures/samplers*.safetensors), with its network and
// its draws: the levels it asks the denoiser for, the answers, and the image, clamped on the way or not.
#include <gtest/gtest.h>

#include "cm/training/sampling.h"
#include "support/closeness.h"
#include "support/fixture_model.h"

namespace cm {
namespace {

using test::Fixture;
using test::relative_difference;

// What a denoiser was asked and what it answered, before any clamp.
struct Calls {
  std::vector<Tensor> sigmas;
  std::vector<Tensor> denoised;

  Denoiser recorded(Denoiser denoiser) {
    return [this, inner = std::move(denoiser)](const Tensor& x, const Tensor& sigma) {
      sigmas.push_back(sigma);
      denoised.push_back(inner(x, sigma));
      return denoised.back();
    };
  }
};

SamplerRequest request_of(const Json& run) {
  SamplerRequest request;
  const auto name = run.at("sampler").get<std::string>();
  request.kind = from_name<SamplerKind>(name);
  if (!request.kind) throw std::runtime_error("sampler " + name + " is none of ours");
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

// The release's grid goes down to 0 even where its sampler stops before.
void check_grid(const Fixture& fixture, const std::string& name, const SamplerOptions& options) {
  if (options.kind == SamplerKind::onestep || options.kind == SamplerKind::multistep) return;
  const auto count = static_cast<int64_t>(options.sigmas.size());
  const Tensor theirs = fixture[name + ".sigmas"].narrow(0, 0, count);
  EXPECT_LT(test::elementwise_difference(torch::tensor(options.sigmas, torch::kFloat64), theirs), 2e-5);
}

void check(const Fixture& fixture, const std::string& name, const Model& model, SamplerOptions options) {
  const SampleNoise draws{fixture[name + ".x_T"],
                          [&](int64_t step) { return fixture[name + ".noise." + std::to_string(step)]; }};
  for (const bool clamp : {true, false}) {
    const std::string prefix = name + (clamp ? ".clip." : ".noclip.");
    SCOPED_TRACE(prefix);
    options.clamp = clamp;
    Calls calls;
    const torch::NoGradGuard guard;
    const Tensor x = walk(calls.recorded(model.denoiser()), options, draws, model.options().sigma.min);
    EXPECT_EQ(static_cast<int64_t>(calls.sigmas.size()), evaluations(options));
    const Tensor call_sigmas = torch::stack(calls.sigmas);
    EXPECT_LT(test::elementwise_difference(call_sigmas, fixture[prefix + "call_sigma"]), 2e-5);
    EXPECT_LT(relative_difference(torch::stack(calls.denoised), fixture[prefix + "call_denoised"]), 1e-4);
    EXPECT_LT(relative_difference(x, fixture[prefix + "x_unclamped"]), 1e-4);
    EXPECT_LT(relative_difference(sample(model, options, draws, {}), fixture[prefix + "x"]), 1e-4);
  }
}

TEST(ParitySamplers, AgreeWithTheReference) {
  for (const auto& fixture : test::fixtures("samplers")) {
    const Model denoiser = test::fixture_model(fixture, "model.", Parameterization::edm);
    const Model consistency = test::fixture_model(fixture, "model.", Parameterization::skip);
    for (const auto& [name, run] : fixture.config.at("runs").items()) {
      SCOPED_TRACE(fixture.name + " " + name);
      const Model& model = run.at("consistency_parameterization").get<bool>() ? consistency : denoiser;
      const SamplerOptions options = choose_sampler(request_of(run), model.options());
      check_grid(fixture, name, options);
      EXPECT_EQ(evaluations(options), run.at("denoiser_calls").get<int64_t>());
      check(fixture, name, model, options);
    }
  }
}

}  // namespace
}  // namespace cm
