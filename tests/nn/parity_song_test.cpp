// DDPM++ and NCSN++ against EDM's code (tests/fixtures/song*.safetensors): output, gradient of the input and
// of every parameter, for L = Σ output · g.
#include <gtest/gtest.h>

#include <stdexcept>

#include "cm/nn/networks.h"
#include "support/edm_network_parity.h"
#include "support/formula_weights.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;

template <class T>
T argument(const Json& network, const char* name) {
  return network.at(name).get<T>();
}

// From what EDM's arguments choose one by one, as far as the two networks differ in it.
const char* architecture_of(const Json& network) {
  const auto is = [&](const char* embedding, const char* encoder, int64_t noise_mult,
                      const std::vector<int64_t>& filter) {
    return argument<std::string>(network, "embedding_type") == embedding &&
           argument<std::string>(network, "encoder_type") == encoder &&
           argument<int64_t>(network, "channel_mult_noise") == noise_mult &&
           argument<std::vector<int64_t>>(network, "resample_filter") == filter;
  };
  if (is("positional", "standard", 1, {1, 1})) return "ddpmpp";
  if (is("fourier", "residual", 2, {1, 3, 3, 1})) return "ncsnpp";
  throw std::runtime_error("neither DDPM++ nor NCSN++: " + network.dump());
}

// EDM's network has one head and an added embedding, its blocks can have others.
int64_t heads_of(const Json& network) {
  return network.value("num_heads", int64_t{1});
}

NetworkOptions options_of(const Json& network) {
  UNetOptions options;
  options.channels = argument<int64_t>(network, "model_channels");
  options.channel_mult = argument<std::vector<double>>(network, "channel_mult");
  options.res_blocks = argument<int64_t>(network, "num_blocks");
  options.attention_resolutions = argument<std::vector<int64_t>>(network, "attn_resolutions");
  options.heads = heads_of(network);
  options.dropout = argument<double>(network, "dropout");
  options.scale_shift_norm = network.value("adaptive_scale", false);
  return test::of_architecture(architecture_of(network), options);
}

ImageSpec image_of(const Json& network) {
  return {.channels = argument<int64_t>(network, "in_channels"),
          .size = argument<int64_t>(network, "img_resolution"),
          .classes = argument<int64_t>(network, "label_dim")};
}

void check_noise_features(const Fixture& fixture, const NamedTensors& weights) {
  const Tensor& expected = fixture["noise_features"];
  const auto freqs = weights.find("map_noise.freqs");
  Initializer zero;
  NoiseFeatures features(zero, expected.size(1), freqs == weights.end() ? std::nullopt : std::optional(1.0));
  for (auto& buffer : features->buffers()) buffer.copy_(freqs->second);
  features->to(test::parity_device());
  expect_parity({fixture.name, "noise features"},
                test::absolute(features->forward(fixture["noise_labels"]), expected), 2e-4);
}

void check(const Fixture& fixture) {
  const Json& arguments = fixture.config.at("network");
  const auto network = make_network(options_of(arguments), image_of(arguments));
  const NamedTensors weights = test::checked_formula_weights(fixture);
  if (fixture.has("noise_features")) check_noise_features(fixture, weights);
  test::expect_edm_network(fixture, *network, weights);
}

TEST(ParitySong, AgreesWithEdm) {
  test::check_cases("song", check);
}

}  // namespace
}  // namespace cm
