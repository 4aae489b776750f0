#include "cm/metrics/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cm/base/error.h"
#include "metrics/classifier_file.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::kTiny;
using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

std::string mistake(const FeatureOptions& options, const ImageShape& shape) {
  return message_of<InputError>([&] { make_features(options, shape, torch::kCPU); });
}

FeatureOptions source(const std::string& name) {
  return {.source = name, .resize = std::nullopt};
}

TEST(Features, PixelsAreFlatAndBetweenMinusOneAndOne) {
  const auto pixels = make_features({}, kTiny, torch::kCPU);
  const Tensor image = torch::tensor({0, 255, 51, 204}, torch::kUInt8).reshape({1, 1, 2, 2});
  const Activations activations = (*pixels)(image, {});
  EXPECT_TRUE(torch::allclose(activations.features, torch::tensor({{-1.0F, 1.0F, -0.6F, 0.6F}})));
  EXPECT_FALSE(activations.logits.has_value());
  EXPECT_EQ(pixels->width(), 4);
  EXPECT_EQ(pixels->name(), "pixels");
}

TEST(Features, DoNotDependOnTheBatchSize) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  const auto classifier = make_features(source((folder / "c.safetensors").string()), kTiny, torch::kCPU);
  const Tensor pixels = torch::arange(0, 240, 10, torch::kInt64).to(torch::kUInt8).reshape({6, 1, 2, 2});
  const Activations whole = activations_of(pixels, *classifier, {.logits = true}, 6);
  const Activations parts = activations_of(pixels, *classifier, {.logits = true}, 4);
  EXPECT_TRUE(torch::allclose(whole.features, parts.features));
  EXPECT_TRUE(torch::allclose(*whole.logits, *parts.logits));
}

TEST(Features, ImagesAreAskedForOnceInTheirOrder) {
  const auto features = make_features({}, kTiny, torch::kCPU);
  const Tensor pixels = torch::arange(0, 240, 10, torch::kInt64).to(torch::kUInt8).reshape({6, 1, 2, 2});
  std::vector<std::pair<int64_t, int64_t>> asked;
  const auto source = [&](int64_t first, int64_t n) {
    asked.emplace_back(first, n);
    return pixels.narrow(0, first, n);
  };
  const Activations streamed = activations_of(6, source, *features, {}, 4);
  EXPECT_TRUE(torch::equal(streamed.features, activations_of(pixels, *features, {}, 6).features));
  EXPECT_EQ(asked, (std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {4, 2}}));
}

TEST(Features, RefuseUnknownNames) {
  EXPECT_THAT(mistake(source("pixel"), kTiny),
              AllOf(HasSubstr("'pixel' are neither pixels nor inception nor dinov2 nor a file that exists"),
                    HasSubstr("did you mean pixels?")));
  for (const char* missing : {"inception:nowhere", "inception"}) {
    EXPECT_THAT(mistake(source(missing), kTiny),
                AllOf(HasSubstr("there is no file"), HasSubstr("scripts/export_inception.py")));
  }
  for (const char* missing : {"dinov2:nowhere", "dinov2"}) {
    EXPECT_THAT(mistake(source(missing), kTiny),
                AllOf(HasSubstr("there is no file"), HasSubstr("scripts/export_dinov2.py")));
  }
}

TEST(Features, KnowTheirFile) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  EXPECT_EQ(feature_file("pixels"), std::nullopt);
  EXPECT_EQ(feature_file((folder / "c.safetensors").string()), folder / "c.safetensors");
  for (const std::string published : {"inception:", "dinov2:"}) {
    EXPECT_EQ(feature_file(published + (folder / "c.safetensors").string()), folder / "c.safetensors");
  }
}

TEST(Features, RefuseARuleOfResizingBesideOthersThanInception) {
  EXPECT_THAT(mistake({.source = "pixels", .resize = InceptionResize::clean}, kTiny),
              HasSubstr("(clean) belongs to Inception features, but these are pixels"));
}

TEST(Features, RefuseAClassifierOfOtherImages) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  EXPECT_THAT(mistake(source((folder / "c.safetensors").string()), {3, 32, 32}),
              AllOf(HasSubstr("takes images of 1×2×2"), HasSubstr("these are 3×32×32")));
}

TEST(Features, RefuseValuesThatAreNotFinite) {
  const TemporaryFolder folder;
  SafetensorsFile broken = test::one_pixel_classifier();
  broken.tensors["hidden.bias"] = torch::full({2}, std::numeric_limits<float>::infinity());
  test::save(broken, folder / "c.safetensors");
  const auto classifier = make_features(source((folder / "c.safetensors").string()), kTiny, torch::kCPU);
  const Tensor pixels = torch::zeros({2, 1, 2, 2}, torch::kUInt8);
  EXPECT_THAT(message_of<InputError>([&] { activations_of(pixels, *classifier, {}, 2); }),
              HasSubstr("c.safetensors: gives features that are NaN or infinite"));
}

// Of features that are wanted without others.
class BrokenFeatures : public PixelFeatures {
 public:
  using PixelFeatures::PixelFeatures;
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override {
    const Tensor broken = torch::full({pixels.size(0), 3}, std::numeric_limits<float>::quiet_NaN());
    Activations all;
    if (wanted.spatial) all.spatial = broken;
    if (wanted.logits) all.logits = broken;
    return all;
  }
};

TEST(Features, RefuseEveryKindOfValueThatIsNotFinite) {
  const BrokenFeatures broken(kTiny, torch::kCPU);
  const Tensor pixels = torch::zeros({2, 1, 2, 2}, torch::kUInt8);
  for (const Wanted& wanted : {Wanted{.features = false, .spatial = true, .logits = false},
                               Wanted{.features = false, .spatial = false, .logits = true}}) {
    EXPECT_THAT(message_of<InputError>([&] { activations_of(pixels, broken, wanted, 2); }),
                HasSubstr("pixels: gives features that are NaN or infinite"));
  }
}

}  // namespace
}  // namespace cm
