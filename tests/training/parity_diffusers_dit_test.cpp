// A DiTPipeline against diffusers (tests/fixtures/diffusers_dit*.safetensors), read from a folder as
// diffusers saves it: what its network says, and the latents of a whole walk, guided or not.
#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/files.h"
#include "cm/training/diffusers_folder.h"
#include "cm/training/sampling.h"
#include "support/formula_weights.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;

Model dit_of_pipeline(const Fixture& fixture) {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& part, const Json& config) {
    std::filesystem::create_directories((folder / part).parent_path());
    write_file_atomically(folder / part, config.dump());
  };
  Json transformer = fixture.config.at("transformer");
  transformer["_class_name"] = "DiTTransformer2DModel";
  Json scheduler = fixture.config.at("scheduler");
  scheduler["_class_name"] = "DDIMScheduler";
  write("model_index.json", {{"_class_name", "DiTPipeline"}});
  write("transformer/config.json", transformer);
  write("scheduler/scheduler_config.json", scheduler);
  write("vae/config.json", {{"_class_name", "AutoencoderKL"}});
  save_safetensors(folder / "vae" / "diffusion_pytorch_model.safetensors", {});
  save_safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors",
                   test::checked_formula_weights(fixture));
  return load_model(*diffusers_weights(folder.path()), test::parity_device());
}

void check_dit_pipeline(const Fixture& fixture) {
  const Model model = dit_of_pipeline(fixture);
  const Tensor output = no_grad([&] {
    return model.network().forward(fixture["x"], {fixture["times"], fixture.labels()});
  });
  expect_parity({fixture.name, "output"}, test::relative(output, fixture["output"]), 2e-5);

  const SamplerOptions walk =
      choose_sampler({.kind = Solver::euler,
                      .steps = fixture.config.at("steps").get<int64_t>(),
                      .guidance = {.weight = fixture.config.at("guidance").get<double>()}},
                     model.options());
  const double first = walk.sigmas.front();
  const Tensor x_T = fixture["walk.start"] * std::sqrt(1 + first * first);
  const Tensor latents = sample(model, walk, {.x_T = x_T, .noise = {}}, fixture.labels("walk"));
  expect_parity({fixture.name, "latents of a walk"}, test::relative(latents, fixture["walk.latents"]), 2e-5);
}

TEST(ParityDiffusersDit, AgreesWithDiffusers) {
  test::check_cases("diffusers_dit", check_dit_pipeline);
}

}  // namespace
}  // namespace cm
