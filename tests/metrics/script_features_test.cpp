#include "src/metrics/script_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

#include <fstream>

#include "cm/base/error.h"
#include "metrics/classifier_file.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::kTiny;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

// Saves a module whose forward(x) is `body`.
std::filesystem::path save_module(const TemporaryFolder& folder, const std::string& body) {
  torch::jit::Module module("network");
  module.define("def forward(self, x):\n  " + body + "\n");
  module.save((folder / "network.pt").string());
  return folder / "network.pt";
}

std::unique_ptr<FeatureExtractor> features_of(const std::filesystem::path& file) {
  return make_features({.source = file.string(), .resize = std::nullopt}, kTiny, torch::kCPU);
}

std::string mistake(const std::string& body) {
  const TemporaryFolder folder;
  return test::message_of<InputError>([&] { features_of(save_module(folder, body)); });
}

const Tensor& bytes() {
  static const Tensor images = torch::arange(12, torch::kInt64).to(torch::kUInt8).view({3, 1, 2, 2});
  return images;
}

TEST(ScriptFeatures, AreWhatTheModuleGives) {
  const TemporaryFolder folder;
  const auto features = features_of(save_module(folder, "return 2 * x.flatten(1)[:, :3].float()"));
  EXPECT_EQ(features->name(), "torchscript");
  EXPECT_EQ(features->width(), 3);
  EXPECT_EQ(features->classes(), 0);
  EXPECT_EQ(features->file(), folder / "network.pt");
  EXPECT_FALSE(features->is_inception());
  const Activations found = (*features)(bytes(), {});
  EXPECT_TRUE(torch::equal(found.features, 2 * bytes().flatten(1).narrow(1, 0, 3).to(torch::kFloat32)));
  EXPECT_FALSE(found.logits.has_value());
}

TEST(ScriptFeatures, MayComeWithLogits) {
  const TemporaryFolder folder;
  const auto features =
      features_of(save_module(folder, "return x.flatten(1).double(), x.flatten(1)[:, :2].float()"));
  EXPECT_EQ(features->classes(), 2);
  const Activations found = (*features)(bytes(), {});
  EXPECT_EQ(found.features.scalar_type(), torch::kFloat32);
  EXPECT_EQ(found.logits.value().sizes(), torch::IntArrayRef({3, 2}));
}

TEST(ScriptFeatures, RefuseModulesThatGiveSomethingElse) {
  EXPECT_THAT(mistake("return x.float()"),
              AllOf(HasSubstr("network.pt: gives a tensor [1, 1, 2, 2] of float for 1 image(s)"),
                    HasSubstr("gives features [N, D], or these and logits [N, classes], is needed")));
  EXPECT_THAT(mistake("return 1"), HasSubstr("gives a Int for 1 image(s)"));
  EXPECT_THAT(mistake("return x.flatten(1)"),
              HasSubstr("gives a tensor [1, 4] of unsigned char for 1 image(s)"));
}

TEST(ScriptFeatures, RefuseModulesThatFail) {
  const std::string found = mistake("return x.view([7, 7])");
  EXPECT_THAT(found, AllOf(HasSubstr("network.pt: fails on images of 1×2×2 ("), HasSubstr("shape '[7, 7]'")));
  EXPECT_EQ(found.find('\n'), std::string::npos) << found;
}

TEST(ScriptFeatures, RefuseADamagedFile) {
  const TemporaryFolder folder;
  std::ofstream(folder / "broken.pt") << "PK\3\4 and nothing more";
  const std::string found = test::message_of<InputError>([&] { features_of(folder / "broken.pt"); });
  EXPECT_THAT(found, HasSubstr("broken.pt: can't be loaded as a TorchScript module ("));
  EXPECT_EQ(found.find('\n'), std::string::npos) << found;
}

TEST(ScriptFeatures, AreToldByTheStartOfTheFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(is_torchscript(save_module(folder, "return x.flatten(1).float()")));
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  EXPECT_FALSE(is_torchscript(folder / "c.safetensors"));
  EXPECT_THROW(is_torchscript(folder / "nowhere.pt"), InputError);
}

}  // namespace
}  // namespace cm
