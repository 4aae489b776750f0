// MeanFlow's DDPM++ and its loss against the authors' code (tests/fixtures/meanflow*.safetensors): what the
// network answers, its gradients, and the losses of draws with theirs.
#include <gtest/gtest.h>

#include "cm/base/random.h"
#include "cm/training/mean_flow_objective.h"
#include "support/formula_weights.h"
#include "support/gradient_parity.h"
#include "support/parity_device.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;
using test::relative;

constexpr const char* kJoint = "map_layer0.weight";  // theirs: one layer over the features of both times
constexpr const char* kSecond = "second_time.weight";

ModelOptions meanflow_options(const Json& network) {
  DdpmppOptions options;
  options.channels = network.at("model_channels").get<int64_t>();
  options.channel_mult = network.at("channel_mult").get<std::vector<double>>();
  options.res_blocks = network.at("num_blocks").get<int64_t>();
  options.attention_resolutions = network.at("attn_resolutions").get<std::vector<int64_t>>();
  options.feature_mult = network.at("channel_mult_noise").get<int64_t>();
  options.resample_filter = ResampleFilter::binomial;
  options.second_time = true;
  ModelOptions model;
  model.network = options;
  model.image = {.channels = 3, .size = network.at("img_resolution").get<int64_t>(), .classes = 0};
  model.parameterization = Parameterization::linear_map;
  return model;
}

NamedTensors from_joint(NamedTensors theirs) {
  const auto halves = theirs.at(kJoint).chunk(2, 1);
  theirs[kJoint] = halves[0];
  theirs[kSecond] = halves[1];
  return theirs;
}

NamedTensors to_joint(NamedTensors ours) {
  ours[kJoint] = torch::cat({ours.at(kJoint), ours.at(kSecond)}, 1);
  ours.erase(kSecond);
  return ours;
}

Model meanflow_model(const Fixture& fixture) {
  Model model(meanflow_options(fixture.config.at("network")), test::parity_device());
  copy_weights(from_joint(test::checked_formula_weights(fixture)), model.network(), fixture.name);
  return model;
}

void check_network(const Fixture& fixture) {
  const Model model = meanflow_model(fixture);
  const Tensor x = fixture["x"].clone().requires_grad_(true);
  const Tensor output = model.mean_velocity()(x, fixture["t"], fixture["r"]);
  expect_parity({fixture.name, "output"}, relative(output, fixture["output"]), 2e-5);
  (output * fixture["g"]).sum().backward();
  expect_parity({fixture.name, "gradient of x"}, relative(x.grad(), fixture["grad_x"]), 1e-4);
  test::expect_gradients(fixture, "", to_joint(test::gradients_of(model.network())));
}

void check_loss(const Fixture& fixture) {
  const Model model = meanflow_model(fixture);
  const AdaptiveNorm norm{.power = fixture.config.at("norm_p").get<double>(),
                          .epsilon = fixture.config.at("norm_eps").get<double>()};
  TrainingBatch batch{fixture["data"], {}, 0, sample_range(0, fixture["data"].size(0))};
  batch.draws = Draws{fixture["e"], {fixture["t"], fixture["r"]}};
  const Tensor losses = objective_of(MeanFlowOptions{{.norm = norm}}, {.student = model}).losses(batch);
  expect_parity({fixture.name, "losses"}, relative(losses, fixture["train.losses"]), 5e-5);
  losses.mean().backward();
  test::expect_gradients(fixture, "train", to_joint(test::gradients_of(model.network())));
}

TEST(ParityMeanflow, TheNetworkAgrees) {
  test::check_cases("meanflow", check_network);
}

TEST(ParityMeanflow, TheLossAgrees) {
  test::check_cases("meanflow", check_loss);
}

}  // namespace
}  // namespace cm
