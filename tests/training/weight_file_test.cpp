#include "cm/training/weight_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/json.h"
#include "support/message_of.h"
#include "support/small_dit.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

TEST(WeightFile, HoldsOptionsAndWeights) {
  const TemporaryFolder folder;
  ModelOptions options = test::tiny_options(Parameterization::piecewise);
  options.sampling = {.grid = 18, .sigmas = {50, 0.7}};
  options.label_dropout = 0.1;
  options.guidance = 2.5;
  const Model model = test::tiny_model(options, 1);
  save_weights(folder / "m.safetensors", options, model.named_weights());

  const WeightFile file = load_weight_file(folder / "m.safetensors");
  EXPECT_EQ(json_of(file.options), json_of(options));
  EXPECT_EQ(file.options.label_dropout, 0.1);
  EXPECT_EQ(file.options.guidance, 2.5);
  EXPECT_TRUE(torch::equal(file.weights.at("out.2.bias"), model.named_weights().at("out.2.bias")));
}

TEST(WeightFile, SaysWhereItsLatentsLive) {
  const TemporaryFolder folder;
  ModelOptions options = test::tiny_options();
  options.latents.emplace();
  options.latents->vae_hash = "abc";
  options.latents->pixels = PixelRange::unit;
  options.latents->mean = {5.81};
  options.latents->std = {4.17};
  options.latents->scale = 0.5;
  save_weights(folder / "m.safetensors", options, test::tiny_model(options, 1).named_weights());
  const ModelOptions read = read_weight_header(folder / "m.safetensors").options;
  EXPECT_EQ(json_of(read), json_of(options));
  EXPECT_EQ(difference(read.latents, options.latents), "");
  EXPECT_FALSE(test::tiny_options().latents);
}

TEST(WeightFile, AHeaderHasShapesWithoutNumbers) {
  const TemporaryFolder folder;
  const Model model = test::tiny_model(test::tiny_options(), 1);
  save_weights(folder / "m.safetensors", model.options(), model.named_weights());
  const WeightFile header = read_weight_header(folder / "m.safetensors");
  EXPECT_EQ(header.weights.size(), model.named_weights().size());
  EXPECT_TRUE(header.weights.at("out.2.weight").is_meta());
  EXPECT_EQ(header.weights.at("out.2.weight").sizes(), at::IntArrayRef({1, 32, 3, 3}));
}

// What scripts/convert_checkpoint.py writes of weights whose network it does not know.
TEST(WeightFile, ANetworkThatTheMetadataLeavesOpenIsInferred) {
  const TemporaryFolder folder;
  ModelOptions options = test::tiny_options();
  test::unet_of(options.network).attention_resolutions = {4};
  test::unet_of(options.network).heads = 2;
  const Model model = test::tiny_model(options, 1);
  save_safetensors(
      folder / "m.safetensors", model.named_weights(),
      {{"format", "consistency.cpp 1"},
       {"model", R"({"network": {"heads": 2}, "image": {"size": 4}, "parameterization": "edm"})"}});
  const ModelOptions read = read_weight_header(folder / "m.safetensors").options;
  test::unet_of(options.network).scale_shift_norm = true;  // as its shapes say
  EXPECT_EQ(json_of(read.network), json_of(options.network));
  EXPECT_EQ(json_of(read.image), json_of(options.image));
  EXPECT_EQ(read.parameterization, Parameterization::edm);
  EXPECT_EQ(read.label_dropout, 0);
  EXPECT_FALSE(read.guidance);
}

TEST(WeightFile, SoIsATransformer) {
  const TemporaryFolder folder;
  ModelOptions options = test::tiny_options();
  options.network = test::small_dit();
  const Model model = test::tiny_model(options, 1);
  save_safetensors(
      folder / "m.safetensors", model.named_weights(),
      {{"format", "consistency.cpp 1"},
       {"model", R"({"network": {"heads": 2}, "image": {"size": 4}, "parameterization": "edm"})"}});
  const ModelOptions read = read_weight_header(folder / "m.safetensors").options;
  EXPECT_EQ(json_of(read.network), json_of(options.network));
  EXPECT_EQ(json_of(read.image), json_of(options.image));
}

// So that what the weights lack of it is said, whatever they are.
TEST(WeightFile, ANetworkThatTheMetadataNamesIsNotInferred) {
  const TemporaryFolder folder;
  ModelOptions options = test::tiny_options();
  options.network = test::small_dit();
  save_weights(folder / "m.safetensors", options, {{"a", torch::ones({1})}});
  EXPECT_THAT(message_of<InputError>([&] { load_model(folder / "m.safetensors", torch::kCPU); }),
              HasSubstr("weights of another network"));
}

TEST(WeightFile, FilesThatAreNoModelAreMistakes) {
  const TemporaryFolder folder;
  const auto load_error = [&](const std::string& name) {
    return message_of<InputError>([&] { load_weight_file(folder / name); });
  };
  EXPECT_THAT(load_error("missing.safetensors"), HasSubstr("no such file"));

  save_safetensors(folder / "plain.safetensors", {{"a", torch::ones({1})}});
  EXPECT_THAT(
      load_error("plain.safetensors"),
      AllOf(HasSubstr("plain.safetensors: has no metadata of a model"), HasSubstr("convert_checkpoint.py")));

  for (const char* name : {"m.pt", "m.pth", "m.pkl", "m.ckpt"}) {
    EXPECT_THAT(load_error(name), HasSubstr("no such file"));
    save_safetensors(folder / name, {});
    EXPECT_THAT(load_error(name),
                AllOf(HasSubstr("PyTorch's pickled weights"), HasSubstr("scripts/convert_checkpoint.py")));
    EXPECT_EQ(load_error(name), message_of<InputError>([&] { read_weight_header(folder / name); }));
  }

  save_safetensors(folder / "garbled.safetensors", {{"a", torch::ones({1})}},
                   {{"format", "consistency.cpp 1"}, {"model", "{"}});
  EXPECT_THAT(load_error("garbled.safetensors"), HasSubstr("the model's metadata is not valid JSON"));
}

TEST(WeightFile, PicklesOfDiffusersSayHowToBeSavedAgain) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "config.json", R"({"_class_name": "UNet2DModel"})");
  write_file_atomically(folder / "diffusion_pytorch_model.bin", "");
  EXPECT_THAT(
      message_of<InputError>([&] { load_weight_file(folder / "diffusion_pytorch_model.bin"); }),
      HasSubstr("diffusion_pytorch_model.bin: is pickled; save the pipeline again with save_pretrained"));
}

}  // namespace
}  // namespace cm
