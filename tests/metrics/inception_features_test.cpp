#include "cm/metrics/inception_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cm/base/error.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/synthetic_inception.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const Metadata kMetadata = {
    {"kind", kInceptionKind}, {"source", "net.pth"}, {"source_sha256", "12ab"}, {"description", "a net"}};

// A weight file for all tests, gone with the program.
std::filesystem::path weight_file() {
  static const TemporaryFolder folder;
  static const std::filesystem::path path = [] {
    save_safetensors(folder / "net.safetensors", test::synthetic_inception_weights(), kMetadata);
    return folder / "net.safetensors";
  }();
  return path;
}

Tensor some_pixels(int64_t count) {
  return (torch::arange(count * 3 * 16 * 16) * 7919 % 256).to(torch::kUInt8).view({count, 3, 16, 16});
}

TEST(InceptionFeatures, AreThoseOfTheNetworkOnItsInput) {
  const InceptionFeatures features(weight_file(), InceptionResize::clean, torch::kCPU);
  const Inception network(test::synthetic_inception_weights(), torch::kCPU, "synthetic weights");
  const Tensor pixels = some_pixels(2);
  const auto expected = network.forward(inception_input(pixels, InceptionResize::clean),
                                        {.pool = true, .spatial = true, .logits = true});
  for (const Wanted& wanted : {Wanted{.features = true, .spatial = true, .logits = true},
                               Wanted{.features = true, .spatial = false, .logits = false},
                               Wanted{.features = false, .spatial = true, .logits = false},
                               Wanted{.features = false, .spatial = false, .logits = true}}) {
    const Activations found = features(pixels, wanted);
    EXPECT_EQ(found.features.defined(), wanted.features);
    EXPECT_EQ(found.spatial.has_value(), wanted.spatial);
    EXPECT_EQ(found.logits.has_value(), wanted.logits);
    EXPECT_TRUE(!wanted.features || torch::equal(found.features, expected.pool));
    EXPECT_TRUE(!wanted.spatial || torch::equal(*found.spatial, expected.spatial));
    EXPECT_TRUE(!wanted.logits || torch::equal(*found.logits, expected.logits));
  }
}

TEST(InceptionFeatures, SayWhatTheNumbersDependOn) {
  const auto features =
      make_features({.source = weight_file().string(), .resize = std::nullopt}, {3, 16, 16}, torch::kCPU);
  EXPECT_EQ(features->name(), "inception");
  EXPECT_TRUE(features->is_inception());
  EXPECT_EQ(features->width(), 2048);
  EXPECT_EQ(features->classes(), 1008);
  EXPECT_EQ(features->file(), weight_file());
  EXPECT_THAT(features->details(), ElementsAre(Pair("resize", "tensorflow"), Pair("source", "net.pth"),
                                               Pair("source_sha256", "12ab")));
}

TEST(InceptionFeatures, AreFoundByNameOrByTheFilesKind) {
  const auto named =
      make_features({.source = "inception:" + weight_file().string(), .resize = InceptionResize::pytorch},
                    {1, 8, 8}, torch::kCPU);
  EXPECT_EQ(named->details().at("resize"), "pytorch");
  const Tensor grey = some_pixels(1).narrow(1, 0, 1);
  const Tensor rgb = grey.expand({1, 3, 16, 16});
  EXPECT_LT(test::relative_difference((*named)(grey, {}).features, (*named)(rgb, {}).features), 1e-5);
}

std::string mistake(const NamedTensors& tensors, const Metadata& metadata) {
  const TemporaryFolder folder;
  save_safetensors(folder / "w.safetensors", tensors, metadata);
  return test::message_of<InputError>([&] {
    const InceptionFeatures features(folder / "w.safetensors", InceptionResize::tensorflow, torch::kCPU);
  });
}

TEST(InceptionFeatures, RefuseOtherFiles) {
  const auto advice = HasSubstr("scripts/export_inception.py");
  EXPECT_THAT(mistake({}, {{"kind", "lpips_vgg16"}}),
              AllOf(HasSubstr("w.safetensors: holds no weights of Inception (metadata kind is 'lpips_vgg16', "
                              "expected 'inception_v3_fid')"),
                    advice));
  EXPECT_THAT(mistake({{"fc.weight", torch::zeros({1000, 2048})}}, kMetadata),
              AllOf(HasSubstr("471 tensors differ"), advice));
  NamedTensors weights = load_safetensors(weight_file()).tensors;
  weights.at("Conv2d_3b_1x1.bn.running_var")[5] = -1;
  EXPECT_THAT(mistake(weights, kMetadata),
              HasSubstr("Conv2d_3b_1x1.bn.running_var must be at least 0 everywhere, got -1"));
  weights.at("Conv2d_2a_3x3.conv.weight")[0][0][0][0] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(mistake(weights, kMetadata),
              HasSubstr("Conv2d_2a_3x3.conv.weight holds NaN or infinite numbers"));
}

}  // namespace
}  // namespace cm
