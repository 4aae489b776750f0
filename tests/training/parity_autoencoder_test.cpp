// The autoencoder against diffusers' AutoencoderKL (tests/fixtures/autoencoder*.safetensors), read from a
// folder as diffusers saves it.
#include <gtest/gtest.h>

#include "cm/base/files.h"
#include "cm/training/autoencoder_folder.h"
#include "support/formula_weights.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::expect_parity;
using test::Fixture;

std::shared_ptr<Autoencoder> autoencoder_of(const Fixture& fixture, const DecodingLimits& limits = {}) {
  const test::TemporaryFolder folder;
  Json config = fixture.config.at("config");
  config["_class_name"] = "AutoencoderKL";
  write_file_atomically(folder / "config.json", config.dump());
  save_safetensors(folder / "diffusion_pytorch_model.safetensors", test::checked_formula_weights(fixture));
  return load_autoencoder(folder.path(), {.device = test::parity_device(), .limits = limits});
}

void check_autoencoder(const Fixture& fixture) {
  const auto autoencoder = autoencoder_of(fixture);
  for (int64_t i = 0; fixture.has(concat(i, ".x")); ++i) {
    const std::string part = std::to_string(i);
    const LatentMoments latents = autoencoder->encode(fixture[part + ".x"]);
    expect_parity({fixture.name, "mean"}, test::relative(latents.mean, fixture[part + ".mean"]), 2e-5);
    expect_parity({fixture.name, "deviation"}, test::relative(latents.std, fixture[part + ".std"]), 2e-5);
    const Tensor images = autoencoder->decode(fixture[part + ".z"]);
    expect_parity({fixture.name, "images"}, test::relative(images, fixture[part + ".decoded"]), 2e-5);
  }
}

TEST(ParityAutoencoder, AgreesWithDiffusers) {
  test::check_cases("autoencoder", check_autoencoder);
}

// Up to where diffusers' last tile begins, which is narrower than the others.
void check_tiles(const Fixture& fixture) {
  if (!fixture.config.contains("tile")) return;
  const auto tile = fixture.config.at("tile").get<int64_t>();
  const auto autoencoder = autoencoder_of(fixture, {.tile = tile});
  for (int64_t i = 0; fixture.has(concat("tiled", i, ".z")); ++i) {
    const std::string part = concat("tiled", i);
    const Tensor& z = fixture[part + ".z"];
    const auto common = [&](const Tensor& images) {
      const int64_t f = downsampling(autoencoder->options());
      return images.narrow(2, 0, f * (z.size(2) - tile / 4)).narrow(3, 0, f * (z.size(3) - tile / 4));
    };
    expect_parity({fixture.name, "images in tiles"},
                  test::relative(common(autoencoder->decode(z)), common(fixture[part + ".decoded"])), 2e-5);
  }
}

TEST(ParityAutoencoder, AgreesInTiles) {
  test::check_cases("autoencoder", check_tiles);
}

}  // namespace
}  // namespace cm
