#include "cm/data/latent_zip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/zip_archive.h"
#include "support/message_of.h"
#include "support/random_latents.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::random_moments;
using test::TemporaryFolder;
using testing::HasSubstr;

LatentSet set_of_five() {
  return {.count = 5,
          .channels = 2,
          .side = 4,
          .classes = 3,
          .origin = {.vae_hash = "abc", .pixels = PixelRange::unit},
          .made_of = "five"};
}

// In files of two.
std::vector<SetFile> save_five(const TemporaryFolder& folder, const Tensor& moments, const Tensor& labels) {
  std::vector<SetFile> files;
  for (int64_t first = 0; first < 5; first += 2) {
    files.push_back(
        {set_file_path(folder.path(), "latents", first / 2), first, std::min<int64_t>(2, 5 - first)});
    const SetFile& file = files.back();
    save_latents(file, set_of_five(), moments.narrow(0, first, file.count),
                 rows_of(labels, first, file.count));
  }
  return files;
}

TEST(LatentZip, IsReadAsItWasWritten) {
  const TemporaryFolder folder;
  const Tensor moments = random_moments(5, 2, 4);
  const Tensor labels = torch::tensor({2, 0, 1, 1, 0});
  const auto files = save_five(folder, moments, labels);
  std::vector<int64_t> told;
  const LatentStatistics statistics =
      write_latent_zip(folder / "l.zip", set_of_five(), files, [&](int64_t done) { told.push_back(done); });
  EXPECT_THAT(told, testing::ElementsAre(0, 1, 2, 3, 4, 5));
  const ZipArchive archive(folder / "l.zip");
  EXPECT_EQ(archive.entries().front().name, "00000/img-mean-std-00000000.npy");
  const LatentDataset data(folder / "l.zip", {}, true);
  EXPECT_EQ(data.space().vae_hash, "abc");
  EXPECT_EQ(data.space().pixels, PixelRange::unit);
  EXPECT_EQ(data.classes(), 3);
  std::vector<float> x(32);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(torch::equal(data.moments(i), moments[i]));
    EXPECT_EQ(data.read(i, {}, x.data(), nullptr), labels[i].item<int64_t>());
  }
  EXPECT_EQ(statistics.mean, data.statistics(5).mean);
  EXPECT_EQ(statistics.std, data.statistics(5).std);
  write_latent_zip(folder / "again.zip", set_of_five(), files, [](int64_t) {});
  EXPECT_EQ(read_file(folder / "again.zip"), read_file(folder / "l.zip"));
}

TEST(LatentZip, ItsFilesAreOfOneSet) {
  const TemporaryFolder folder;
  save_five(folder, random_moments(5, 2, 4), torch::zeros({5}, torch::kInt64));
  EXPECT_EQ(latent_files_in(folder.path()).size(), 3);
  EXPECT_NO_THROW(refuse_other_latents(folder.path(), set_of_five()));
  EXPECT_NO_THROW(refuse_other_latents(folder / "nowhere", set_of_five()));
  LatentSet other = set_of_five();
  other.origin.vae_hash = "def";
  EXPECT_THAT(message_of<InputError>([&] { refuse_other_latents(folder.path(), other); }),
              HasSubstr("latents-000000.safetensors: holds latents of other images or another VAE"));
  EXPECT_THROW(save_latents({folder / "x", 0, 2}, other, torch::zeros({1, 4, 4, 4}), torch::zeros({1})),
               c10::Error);
}

}  // namespace
}  // namespace cm
