#include "cm/training/lpips_file.h"

#include <gmock/gmock.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/safetensors.h"
#include "support/message_of.h"
#include "support/synthetic_lpips.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const Metadata kMetadata = {{"kind", "lpips_vgg16"}};

std::string refusal(const std::filesystem::path& path) {
  return test::message_of<InputError>([&] { load_lpips(path, torch::kCPU); });
}

auto says(const std::string& sentence) {
  return AllOf(HasSubstr(sentence), HasSubstr(kLpipsCommand));
}

TEST(LpipsFile, HoldsTheNetworkThatItIsMadeOf) {
  const test::TemporaryFolder folder;
  const auto weights = test::synthetic_lpips_weights();
  save_safetensors(folder / "lpips.safetensors", weights, kMetadata);
  const auto lpips = load_lpips(folder / "lpips.safetensors", torch::kCPU);
  for (const auto& [name, tensor] : weights_of(*lpips)) {
    EXPECT_TRUE(torch::equal(tensor, weights.at(name))) << name;
    EXPECT_FALSE(tensor.requires_grad()) << name;
  }
}

TEST(LpipsFile, RefusesWhatIsNone) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(refusal(folder / "nowhere.safetensors"), says("nowhere.safetensors: no such file"));
  const auto text = folder / "text.safetensors";
  write_file_atomically(text, "weights");
  EXPECT_THAT(refusal(text), says("text.safetensors: "));
  const auto other = folder / "other.safetensors";
  save_safetensors(other, {}, {{"kind", "digit_classifier"}});
  EXPECT_THAT(refusal(other), says("metadata kind is 'digit_classifier', expected 'lpips_vgg16'"));
}

TEST(LpipsFile, RefusesOtherTensorsAndNegativeLinearWeights) {
  const test::TemporaryFolder folder;
  const auto path = folder / "lpips.safetensors";
  auto weights = weights_of(Lpips());
  weights.at("lin3")[0][7][0][0] = -0.5;
  save_safetensors(path, weights, kMetadata);
  EXPECT_THAT(refusal(path), says("lin3 must be at least 0 everywhere, got -0.5"));
  weights.at("lin3") = torch::zeros({1, 256, 1, 1});
  save_safetensors(path, weights, kMetadata);
  EXPECT_THAT(refusal(path), says("lin3 is [1, 256, 1, 1], the network needs [1, 512, 1, 1]"));
}

}  // namespace
}  // namespace cm
