#include "cm/training/diffusers_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/json.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

using test::message_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

void write_json(const fs::path& path, const Json& content) {
  fs::create_directories(path.parent_path());
  write_file_atomically(path, content.dump());
}

// A folder with a U-Net of diffusers'.
class DiffusersFolder : public testing::Test {
 protected:
  DiffusersFolder() { write_json(unet() / "config.json", {{"_class_name", "UNet2DModel"}}); }

  fs::path pipeline() const { return folder_ / "p"; }
  fs::path unet() const { return pipeline() / "unet"; }
  void index(const Json& content) const { write_json(pipeline() / "model_index.json", content); }
  void scheduler(const Json& content) const {
    write_json(pipeline() / "scheduler" / "scheduler_config.json", content);
  }
  void weights(const std::string& name) const { write_file_atomically(unet() / name, ""); }

  std::string refusal(const fs::path& folder) const {
    return message_of<InputError>([&] { diffusers_weights(folder); });
  }

  const TemporaryFolder folder_;
};

TEST_F(DiffusersFolder, APipelineOrItsUNetMayBeNamed) {
  index({{"_class_name", "ConsistencyModelPipeline"},
         {"scheduler", {"diffusers", "CMStochasticIterativeScheduler"}}});
  scheduler({{"_class_name", "CMStochasticIterativeScheduler"}});
  const std::string name = "diffusion_pytorch_model.safetensors";
  weights(name);
  EXPECT_EQ(diffusers_weights(pipeline()), unet() / name);
  EXPECT_EQ(diffusers_weights(unet()), unet() / name);
  EXPECT_TRUE(is_of_diffusers(unet() / name));
  EXPECT_FALSE(is_bare_unet(unet() / name));
}

TEST_F(DiffusersFolder, FoldersOfOtherThingsAreNone) {
  EXPECT_EQ(diffusers_weights(folder_ / "missing"), std::nullopt);
  write_json(folder_ / "other" / "config.json", {{"architectures", {"Some"}}});
  EXPECT_EQ(diffusers_weights(folder_ / "other"), std::nullopt);
  EXPECT_FALSE(is_of_diffusers(folder_ / "other" / "model.safetensors"));
  EXPECT_FALSE(is_bare_unet(folder_ / "other" / "model.safetensors"));
}

TEST_F(DiffusersFolder, AUNetAloneSaysNothingOfItsModel) {
  weights("diffusion_pytorch_model.safetensors");
  EXPECT_TRUE(is_bare_unet(*diffusers_weights(unet())));
  scheduler({{"_class_name", "CMStochasticIterativeScheduler"}});
  EXPECT_FALSE(is_bare_unet(*diffusers_weights(unet())));
}

// The pipeline's folder is the one above, also where the U-Net's is named from within.
TEST_F(DiffusersFolder, TheConfigsOfAUNetLieAboveIt) {
  EXPECT_EQ(diffusers_configs("p/unet/w").index, "p/model_index.json");
  EXPECT_EQ(diffusers_configs("unet/w").scheduler, "./scheduler/scheduler_config.json");
  EXPECT_EQ(diffusers_configs("./w").index, "./../model_index.json");
  EXPECT_EQ(diffusers_configs("w").index, "../model_index.json");
  EXPECT_EQ(diffusers_configs("w").network, "config.json");
}

TEST_F(DiffusersFolder, ADiffusionModelIsNotTakenForAConsistencyModel) {
  weights("diffusion_pytorch_model.safetensors");
  index({{"_class_name", "DDPMPipeline"}, {"scheduler", {"diffusers", "DDPMScheduler"}}});
  EXPECT_THAT(refusal(pipeline()),
              AllOf(StartsWith(pipeline().string() + ": holds a DDPMPipeline (DDPMScheduler); "),
                    HasSubstr("those of a ConsistencyModelPipeline")));
  scheduler({{"_class_name", "DDIMScheduler"}, {"prediction_type", "v_prediction"}});
  const std::string of_v = "holds a DDPMPipeline (DDIMScheduler, prediction_type v_prediction); ";
  EXPECT_THAT(refusal(pipeline()), HasSubstr(of_v));
  EXPECT_THAT(refusal(unet()), StartsWith(pipeline().string() + ": " + of_v));
  const fs::path file = unet() / "diffusion_pytorch_model.safetensors";
  EXPECT_THAT(message_of<InputError>([&] { diffusers_model(file); }), HasSubstr(of_v));
}

TEST_F(DiffusersFolder, ASchedulerAloneTellsADiffusionModel) {
  scheduler({{"_class_name", "DDPMScheduler"}, {"beta_schedule", "linear"}});
  EXPECT_THAT(refusal(pipeline()), HasSubstr(": holds a model (DDPMScheduler, prediction_type epsilon); "));
  scheduler({{"_class_name", "KarrasVeScheduler"}, {"sigma_max", 100}});
  EXPECT_THAT(refusal(pipeline()), HasSubstr(": holds a model (KarrasVeScheduler); "));
}

TEST_F(DiffusersFolder, APipelineOfLatentsIsRefused) {
  index({{"_class_name", "LDMPipeline"},
         {"scheduler", {"diffusers", "DDIMScheduler"}},
         {"vae", {nullptr, nullptr}},
         {"vqvae", {"diffusers", "VQModel"}}});
  EXPECT_THAT(refusal(pipeline()),
              HasSubstr(": holds a LDMPipeline (DDIMScheduler, on the latents of its vqvae); "));
  index({{"_class_name", {"mine", "ConsistencyModelPipeline"}}, {"vae", {"diffusers", "AutoencoderKL"}}});
  EXPECT_THAT(refusal(pipeline()), HasSubstr("ConsistencyModelPipeline (on the latents of its vae)"));
}

TEST_F(DiffusersFolder, ADitPipelineHasATransformerAndAVae) {
  const fs::path transformer = pipeline() / "transformer";
  const fs::path file = transformer / "diffusion_pytorch_model.safetensors";
  fs::remove_all(unet());
  write_json(transformer / "config.json", {{"_class_name", "DiTTransformer2DModel"}});
  write_file_atomically(file, "");
  EXPECT_THAT(refusal(pipeline()),
              HasSubstr("_class_name is a transformer without its pipeline, which says"));
  index({{"_class_name", "DiTPipeline"}, {"vae", {"diffusers", "AutoencoderKL"}}});
  EXPECT_EQ(diffusers_weights(pipeline()), file);
  EXPECT_EQ(diffusers_weights(transformer), file);
  EXPECT_EQ(diffusers_model(file), DiffusersModel::dit);
  EXPECT_EQ(vae_of_pipeline(file), pipeline() / "vae");
  EXPECT_FALSE(is_bare_unet(file));
  write_json(transformer / "config.json", {{"_class_name", "Transformer2DModel"}});
  EXPECT_EQ(diffusers_model(file), DiffusersModel::dit);
  write_json(transformer / "config.json", {{"_class_name", "UNet2DModel"}});
  EXPECT_THAT(refusal(pipeline()),
              EndsWith(R"(config.json: _class_name must be "DiTTransformer2DModel", got "UNet2DModel")"));
}

TEST_F(DiffusersFolder, OnlyADitPipelineBringsAVae) {
  weights("diffusion_pytorch_model.safetensors");
  EXPECT_EQ(vae_of_pipeline(unet() / "diffusion_pytorch_model.safetensors"), std::nullopt);
  EXPECT_EQ(vae_of_pipeline(folder_ / "nowhere" / "model.safetensors"), std::nullopt);
}

TEST_F(DiffusersFolder, OtherNetworksAreRefused) {
  write_json(unet() / "config.json", {{"_class_name", "UNet2DConditionModel"}});
  EXPECT_THAT(refusal(pipeline()),
              EndsWith(R"(unet/config.json: _class_name must be "UNet2DModel", got "UNet2DConditionModel")"));
  write_json(folder_ / "flux" / "model_index.json", {{"_class_name", "FluxPipeline"}});
  EXPECT_THAT(refusal(folder_ / "flux"), HasSubstr("flux: holds a FluxPipeline; "));
}

TEST_F(DiffusersFolder, WholeWeightsGoBeforeShardsAndShardsBeforeVariants) {
  weights("diffusion_pytorch_model.fp16.safetensors");
  weights("diffusion_pytorch_model.safetensors.index.json");
  EXPECT_EQ(diffusers_weights(unet())->filename(), "diffusion_pytorch_model.safetensors.index.json");
  weights("diffusion_pytorch_model.safetensors");
  EXPECT_EQ(diffusers_weights(unet())->filename(), "diffusion_pytorch_model.safetensors");
}

TEST_F(DiffusersFolder, AnOnlyVariantIsTaken) {
  weights("diffusion_pytorch_model.bin");
  weights("diffusion_pytorch_model.fp16.safetensors");
  testing::internal::CaptureStderr();
  EXPECT_EQ(diffusers_weights(unet())->filename(), "diffusion_pytorch_model.fp16.safetensors");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("those of a variant, diffusion_pytorch_model.fp16.safetensors\n"));
}

TEST_F(DiffusersFolder, AVariantInShardsIsOneVariant) {
  for (const char* name : {"diffusion_pytorch_model.safetensors.index.fp16.json",
                           "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
                           "diffusion_pytorch_model.fp16-00002-of-00002.safetensors",
                           "diffusion_pytorch_model-00001-of-00001.bf16.safetensors"}) {
    weights(name);
  }
  EXPECT_EQ(diffusers_weights(unet())->filename(), "diffusion_pytorch_model.safetensors.index.fp16.json");
}

TEST_F(DiffusersFolder, OfSeveralVariantsOneMustBeNamed) {
  weights("diffusion_pytorch_model.non_ema.safetensors");
  weights("diffusion_pytorch_model.fp16.safetensors");
  EXPECT_THAT(
      refusal(pipeline()),
      EndsWith("unet: has no diffusion_pytorch_model.safetensors and several variants of it; name one: "
               "diffusion_pytorch_model.fp16.safetensors, "
               "diffusion_pytorch_model.non_ema.safetensors"));
}

TEST_F(DiffusersFolder, PickledAndMissingWeightsAreMistakes) {
  EXPECT_THAT(refusal(unet()),
              EndsWith("unet: has a config.json and no diffusion_pytorch_model.safetensors"));
  weights("diffusion_pytorch_model.fp16.bin");
  EXPECT_THAT(refusal(unet()), HasSubstr("diffusion_pytorch_model.fp16.bin: is pickled; save the pipeline"));
}

}  // namespace
}  // namespace cm
