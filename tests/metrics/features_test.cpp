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

using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

constexpr ImageShape kTiny = {1, 2, 2};

std::string mistake(const std::string& which, const ImageShape& shape) {
  return message_of<InputError>([&] { make_features(which, shape, torch::kCPU); });
}

TEST(Features, PixelsAreFlatAndBetweenMinusOneAndOne) {
  const auto pixels = make_features("pixels", kTiny, torch::kCPU);
  const Tensor image = torch::tensor({0, 255, 51, 204}, torch::kUInt8).reshape({1, 1, 2, 2});
  const Activations activations = (*pixels)(image);
  EXPECT_TRUE(torch::allclose(activations.features, torch::tensor({{-1.0F, 1.0F, -0.6F, 0.6F}})));
  EXPECT_FALSE(activations.logits.has_value());
  EXPECT_EQ(pixels->width(), 4);
  EXPECT_EQ(pixels->name(), "pixels");
}

TEST(Features, DoNotDependOnTheBatchSize) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  const auto classifier = make_features((folder / "c.safetensors").string(), kTiny, torch::kCPU);
  const Tensor pixels = torch::arange(0, 240, 10, torch::kInt64).to(torch::kUInt8).reshape({6, 1, 2, 2});
  const Activations whole = activations_of(pixels, *classifier, 6);
  const Activations parts = activations_of(pixels, *classifier, 4);
  EXPECT_TRUE(torch::allclose(whole.features, parts.features));
  EXPECT_TRUE(torch::allclose(*whole.logits, *parts.logits));
}

TEST(Features, RefuseUnknownNames) {
  EXPECT_THAT(mistake("pixel", kTiny), AllOf(HasSubstr("'pixel'"), HasSubstr("did you mean pixels?")));
  EXPECT_THAT(mistake("inception", kTiny), HasSubstr("not part of this version"));
}

TEST(Features, RefuseAClassifierOfOtherImages) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  EXPECT_THAT(mistake((folder / "c.safetensors").string(), {3, 32, 32}),
              AllOf(HasSubstr("takes images of 1×2×2"), HasSubstr("these are 3×32×32")));
}

TEST(Features, RefuseValuesThatAreNotFinite) {
  const TemporaryFolder folder;
  SafetensorsFile broken = test::one_pixel_classifier();
  broken.tensors["hidden.bias"] = torch::full({2}, std::numeric_limits<float>::infinity());
  test::save(broken, folder / "c.safetensors");
  const auto classifier = make_features((folder / "c.safetensors").string(), kTiny, torch::kCPU);
  const Tensor pixels = torch::zeros({2, 1, 2, 2}, torch::kUInt8);
  EXPECT_THAT(message_of<InputError>([&] { activations_of(pixels, *classifier, 2); }),
              HasSubstr("c.safetensors: gives features that are NaN or infinite"));
}

}  // namespace
}  // namespace cm
