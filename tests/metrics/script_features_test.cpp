#include "src/metrics/script_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <fstream>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/npz.h"
#include "metrics/classifier_file.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::kTiny;
using test::TemporaryFolder;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

constexpr auto kFlat = "return x.flatten(1).float()";

// Saves a module whose forward(x) is `body`, and which says `facts` of itself unless that is empty.
std::filesystem::path save_module(const TemporaryFolder& folder, const std::string& body,
                                  const std::string& facts = "") {
  torch::jit::Module module("network");
  module.define("def forward(self, x):\n  " + body + "\n");
  torch::jit::ExtraFilesMap extra;
  if (!facts.empty()) extra[kFactsFile] = facts;
  module.save((folder / "network.pt").string(), extra);
  return folder / "network.pt";
}

std::unique_ptr<FeatureExtractor> features_of(const std::string& source) {
  return make_features({.source = source, .resize = std::nullopt}, kTiny, torch::kCPU);
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

TEST(ScriptFeatures, AreKnownByWhatTheModuleSaysOfItself) {
  const TemporaryFolder folder;
  const auto named = features_of(
      save_module(folder, kFlat, R"({"name": "mine", "resize": "torch", "sha256": "0", "width": "9"})"));
  EXPECT_EQ(named->name(), "mine");
  const Json record = feature_record(*named);
  EXPECT_EQ(record.at("name"), "mine");
  EXPECT_EQ(record.at("resize"), "torch");
  EXPECT_EQ(record.at("width"), 4);  // what is known of a file counts more than what it says
  EXPECT_EQ(record.at("sha256").get<std::string>().size(), 64U);
  const auto nameless = features_of(save_module(folder, kFlat, R"({"model": "small"})"));
  EXPECT_EQ(nameless->name(), "torchscript");
  EXPECT_EQ(nameless->details(), (Details{{"model", "small"}}));
}

TEST(ScriptFeatures, RefuseModulesThatSayWhatCantBeRead) {
  const TemporaryFolder folder;
  for (const char* facts : {"dinov2", "[1]", R"(["dinov2"])", R"({"name": 1})", "\xff"}) {
    EXPECT_THAT(test::message_of<InputError>([&] { features_of(save_module(folder, kFlat, facts)); }),
                HasSubstr("network.pt: its features.json is not a JSON object of strings"))
        << facts;
  }
}

TEST(ScriptFeatures, AreDinov2sOnlyWhereTheModuleSaysSo) {
  const TemporaryFolder folder;
  const auto dinov2 = features_of("dinov2:" + save_module(folder, kFlat, R"({"name": "dinov2"})").string());
  EXPECT_EQ(dinov2->name(), "dinov2");
  const std::string other = "dinov2:" + save_module(folder, kFlat).string();
  EXPECT_THAT(test::message_of<InputError>([&] { features_of(other); }),
              AllOf(HasSubstr("network.pt: holds the features torchscript, not dinov2; "),
                    HasSubstr("scripts/export_dinov2.py")));
  std::ofstream(folder / "network.pt") << "weights";
  EXPECT_THAT(test::message_of<InputError>([&] { features_of(other); }),
              AllOf(HasSubstr("network.pt: can't be loaded as a TorchScript module"),
                    HasSubstr("scripts/export_dinov2.py")));
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
  EXPECT_THAT(found,
              HasSubstr("broken.pt: can't be loaded as a TorchScript module (PytorchStreamReader failed"));
  EXPECT_THAT(found, EndsWith("not a ZIP archive); torch.jit.save writes them"));
  EXPECT_EQ(found.find('\n'), std::string::npos) << found;
}

TEST(ScriptFeatures, RefuseWeightsWithoutCode) {
  const TemporaryFolder folder;
  const std::vector<char> weights = torch::jit::pickle_save(torch::ones({2}));  // as torch.save in Python
  write_file_atomically(folder / "weights.pth", {weights.data(), weights.size()});
  EXPECT_THAT(
      test::message_of<InputError>([&] { features_of(folder / "weights.pth"); }),
      HasSubstr("weights.pth: can't be loaded as a TorchScript module (it holds weights and no code); "));
}

TEST(ScriptFeatures, RefuseAnotherArchive) {
  const TemporaryFolder folder;
  save_npz(folder / "images.npz", {{"arr_0", bytes()}});
  const auto load = [&] { ScriptFeatures(folder / "images.npz", kTiny, torch::kCPU); };
  EXPECT_THAT(test::message_of<InputError>(load),
              HasSubstr("images.npz: can't be loaded as a TorchScript module (file in archive is not in a "
                        "subdirectory: arr_0.npy); "));
}

TEST(ScriptFeatures, AreToldByTheStartOfTheFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(is_torchscript(save_module(folder, kFlat)));
  test::save(test::one_pixel_classifier(), folder / "c.safetensors");
  EXPECT_FALSE(is_torchscript(folder / "c.safetensors"));
  EXPECT_THROW(is_torchscript(folder / "nowhere.pt"), InputError);
}

}  // namespace
}  // namespace cm
