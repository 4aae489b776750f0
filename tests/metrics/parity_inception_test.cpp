// Inception features against torch-fidelity's and pytorch-fid's, and what the network is shown of an image
// against theirs and clean-fid's (tests/fixtures/inception*.safetensors). A case holds a network or resized
// images.
#include <gtest/gtest.h>

#include "cm/base/text.h"
#include "cm/metrics/inception_input.h"
#include "cm/nn/inception.h"
#include "support/formula_images.h"

namespace cm {
namespace {

using test::absolute;
using test::expect_parity;
using test::Fixture;
using test::relative;

void check_network(const Fixture& fixture) {
  const Inception network(test::checked_formula_weights(fixture), test::parity_device(), fixture.name);
  const Tensor images = test::formula_images(fixture.config);
  for (const std::string& rule : all_names<InceptionResize>()) {
    const auto theirs = [&](const std::string& output) { return concat(rule, ".", output); };
    if (!fixture.has(theirs("pool"))) continue;
    const Tensor input = inception_input(images, test::named<InceptionResize>(rule));
    const auto found = network.forward(input, {.pool = true, .spatial = true, .logits = true});
    const auto expect = [&](const std::string& output, const Tensor& ours) {
      if (!fixture.has(theirs(output))) return;
      expect_parity({fixture.part(rule), output}, relative(ours, fixture[theirs(output)]), 2e-5);
    };
    expect("pool", found.pool);
    expect("spatial", found.spatial);
    expect("logits", found.logits);
  }
}

void check_resizing(const Fixture& fixture) {
  const auto indices = [&](const char* of) {
    return torch::tensor(fixture.config.at(of).get<std::vector<int64_t>>(), torch::kInt64)
        .to(test::parity_device());
  };
  for (const auto& [name, images] : fixture.config.at("images").items()) {
    for (const auto& rule : fixture.config.at("rules").get<std::vector<std::string>>()) {
      const Tensor input = inception_input(test::formula_images(images), test::named<InceptionResize>(rule));
      const Tensor compared = input.index_select(2, indices("rows")).index_select(3, indices("columns"));
      const std::string part = fixture.part(std::string(name).append(", ").append(rule));
      expect_parity({part, "pixels"}, absolute(compared, fixture[concat(name, ".", rule)]), 1e-6);
      const double mean = input.to(torch::kFloat64).mean().item<double>();
      const double theirs = fixture.number(std::string(name).append(".").append(rule).append(".mean"));
      expect_parity({part, "mean"}, {test::ErrorKind::absolute, std::abs(mean - theirs)}, 4e-7);
    }
  }
}

TEST(ParityInception, AgreesWithTheReferences) {
  test::check_cases("inception", [](const Fixture& fixture) {
    if (fixture.config.contains("weight_order")) check_network(fixture);
    if (fixture.config.contains("rules")) check_resizing(fixture);
  });
}

}  // namespace
}  // namespace cm
