#include "cm/training/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

Tensor answer(const Model& model) {
  const torch::NoGradGuard guard;
  const Tensor x = normal({.seed = 1}, sample_range(0, 3), {1, 4, 4});
  return model.denoiser(torch::tensor({0, 1, 2}))(x, torch::tensor({0.1F, 1.0F, 80.0F}));
}

TEST(Model, OneFileIsAllThatSamplingNeeds) {
  const TemporaryFolder folder;
  ModelOptions options = test::tiny_options(Parameterization::piecewise);
  options.sigma.max = 50;
  options.sampling.grid = 18;
  options.sampling.sigmas = {50, 0.7};
  const Model model = test::tiny_model(options, 1);
  save_weights(folder / "m.safetensors", options, model.named_weights());

  const Model loaded = load_model(folder / "m.safetensors", torch::kCPU);
  EXPECT_TRUE(torch::equal(answer(loaded), answer(model)));
  EXPECT_EQ(loaded.options().parameterization, Parameterization::piecewise);
  EXPECT_EQ(loaded.options().sigma.max, 50);
  EXPECT_EQ(loaded.options().sampling.sigmas, options.sampling.sigmas);
  EXPECT_EQ(read_weight_header(folder / "m.safetensors").options.sampling.grid, 18);
  for (const auto& parameter : loaded.parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(Model, ADenoiserSharesTheWeights) {
  const Model model = test::tiny_model(test::tiny_options(), 1);
  const Denoiser denoiser = model.denoiser(torch::tensor({0}));
  const torch::NoGradGuard guard;
  const Tensor x = torch::ones({1, 1, 4, 4});
  const Tensor before = denoiser(x, torch::ones({1}));
  model.named_weights().at("out.2.bias").add_(1);
  EXPECT_FALSE(torch::equal(denoiser(x, torch::ones({1})), before));
}

TEST(Model, WeightsLoadIntoAnotherParameterization) {
  const TemporaryFolder folder;
  const Model teacher = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  save_weights(folder / "m.safetensors", teacher.options(), teacher.named_weights());
  Model student = test::tiny_model(test::tiny_options(Parameterization::skip), 2);
  load_weights(folder / "m.safetensors", student);
  EXPECT_TRUE(torch::equal(student.parameters()[0], teacher.parameters()[0]));
  EXPECT_EQ(student.options().parameterization, Parameterization::skip);
}

// Half of what it is asked, whatever the time, by one weight.
class Half : public Network {
 public:
  Half() : factor_(register_parameter("factor", torch::full({}, 0.5))) {}
  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& /*dropout_keys*/) override {
    last_time = told.time;
    return factor_ * x;
  }
  Tensor last_time;

 private:
  Tensor factor_;
};

TEST(Model, TakesANetworkOfOnesOwn) {
  ModelOptions options;
  options.image = {.channels = 2, .size = 1, .classes = 0};
  options.parameterization = Parameterization::edm;
  const Model model(options, torch::kCPU, [](std::optional<uint64_t>) { return std::make_shared<Half>(); });
  const Tensor x = torch::tensor({3.0F, -1.0F}).view({1, 2, 1, 1});
  const Tensor sigma = torch::tensor({2.0F});
  const Scalings at = scalings(Parameterization::edm, options.sigma, sigma);
  const Tensor expected = (at.c_skip + 0.5 * at.c_out * at.c_in).view({1, 1, 1, 1}) * x;
  EXPECT_TRUE(torch::allclose(model.denoiser()(x, sigma), expected));
  const auto& network = dynamic_cast<const Half&>(model.network());
  EXPECT_TRUE(torch::allclose(network.last_time, sigma.log() / 4));
}

TEST(Model, ACopyKeepsTheWeightsThatTheOriginalTrainsAwayFrom) {
  Model model = test::tiny_model(test::tiny_options(), 1);
  ModelOptions options = model.options();
  options.distilled_steps = 4;
  const Model copy = model.frozen_copy(options);
  EXPECT_TRUE(torch::equal(answer(copy), answer(model)));
  EXPECT_EQ(copy.options().distilled_steps, 4);
  for (const auto& parameter : copy.parameters()) EXPECT_FALSE(parameter.requires_grad());
  const Tensor before = answer(copy);
  test::perturb(model, 2);
  EXPECT_TRUE(torch::equal(answer(copy), before));
  EXPECT_FALSE(torch::equal(answer(model), before));
  model.compute_in(ComputeType::bf16);
  EXPECT_EQ(model.frozen_copy(options).network().compute_type(), ComputeType::bf16);
}

TEST(Model, ANetworkGetsTheTimeThatItWasPublishedWith) {
  const torch::NoGradGuard guard;
  const Tensor x = normal({.seed = 1}, sample_range(0, 2), {1, 4, 4});
  const Tensor sigma = torch::tensor({0.1F, 5.0F});
  const Tensor labels = torch::tensor({0, 2});
  // In units of 1/scale.
  for (const auto& [name, scale] : {std::pair("adm", 1000.0), {"ddpmpp", 1.0}, {"ncsnpp", 1.0}}) {
    ModelOptions options = test::tiny_options(Parameterization::edm);
    options.network = test::of_architecture(name, test::tiny_ncsnpp());
    const Model model = test::tiny_model(options, 1);
    for (const Model& same : {model, model.frozen_copy(options)}) {
      const Denoiser expected =
          precondition(Parameterization::edm, options.sigma, scale, same.raw_network(labels, {}));
      EXPECT_TRUE(torch::equal(same.denoiser(labels)(x, sigma), expected(x, sigma))) << name;
    }
  }
}

TEST(Model, WeightsOfAnotherNetworkAreAMistake) {
  const TemporaryFolder folder;
  ModelOptions wide = test::tiny_options();
  test::unet_of(wide.network).channels = 64;
  const Model tiny = test::tiny_model(test::tiny_options(), 1);
  save_weights(folder / "other.safetensors", wide, tiny.named_weights());
  EXPECT_THAT(message_of<InputError>([&] { load_model(folder / "other.safetensors", torch::kCPU); }),
              HasSubstr("other.safetensors: weights of another network"));
}

}  // namespace
}  // namespace cm
