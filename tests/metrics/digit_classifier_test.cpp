#include "src/metrics/digit_classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

std::string mistake_in(const SafetensorsFile& file) {
  const TemporaryFolder folder;
  test::save(file, folder / "c.safetensors");
  return message_of<InputError>([&] { DigitClassifier(folder / "c.safetensors", torch::kCPU); });
}

TEST(DigitClassifier, ComputesTheNetworkOfItsFile) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  const DigitClassifier classifier(folder / "c.safetensors", torch::kCPU);
  EXPECT_EQ(classifier.width(), 2);
  EXPECT_EQ(classifier.classes(), 2);
  EXPECT_EQ(classifier.image_shape(), (ImageShape{1, 2, 2}));

  const Tensor pixels = torch::tensor({255, 9, 9, 9, 0, 255, 255, 255}, torch::kUInt8).reshape({2, 1, 2, 2});
  const Activations activations = classifier(pixels, {});
  EXPECT_TRUE(torch::equal(activations.features, torch::tensor({{1.0F, 2.0F}, {0.0F, 0.0F}})));
  EXPECT_TRUE(torch::equal(*activations.logits, torch::tensor({{0.5F, 1.0F}, {0.5F, 0.0F}})));
}

TEST(DigitClassifier, RefusesFilesOfAnotherKind) {
  SafetensorsFile file = test::one_pixel_classifier();
  file.metadata["kind"] = "unet";
  EXPECT_THAT(mistake_in(file), AllOf(HasSubstr("c.safetensors: no digit classifier"), HasSubstr("'unet'"),
                                      HasSubstr("train_digit_classifier.py")));
}

TEST(DigitClassifier, RefusesBrokenMetadata) {
  SafetensorsFile file = test::one_pixel_classifier();
  file.metadata["image_size"] = "2x2";
  EXPECT_THAT(mistake_in(file),
              HasSubstr("metadata 'image_size' must be a number from 1 to 1024, got '2x2'"));
  file.metadata.erase("image_size");
  EXPECT_THAT(mistake_in(file), HasSubstr("got ''"));
}

TEST(DigitClassifier, RefusesTensorsThatAreMissingOrOfAnotherShape) {
  SafetensorsFile file = test::one_pixel_classifier();
  file.tensors["hidden.weight"] = torch::zeros({2, 5});
  EXPECT_THAT(mistake_in(file), HasSubstr("tensor hidden.weight must have the shape [2, 1], got [2, 5]"));
  file.tensors.erase("conv2.bias");
  EXPECT_THAT(mistake_in(file), HasSubstr("tensor conv2.bias must have the shape [1], but is missing"));
}

TEST(DigitClassifier, RefusesOtherImages) {
  const TemporaryFolder folder;
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  const DigitClassifier classifier(folder / "c.safetensors", torch::kCPU);
  EXPECT_THROW(classifier(torch::zeros({2, 3, 2, 2}, torch::kUInt8), {}), c10::Error);
}

}  // namespace
}  // namespace cm
