#include "cm/data/latents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/data/loader.h"
#include "cm/kernels/normal.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/random_latents.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::random_moments;
using test::TemporaryFolder;
using test::write_latents;
using testing::HasSubstr;

constexpr int64_t kCount = 7;
constexpr const char* kOurJson = R"({"labels": null, "latents": {"vae_hash": "abc", "pixels": "symmetric"}})";

std::string labelled_json() {
  std::string pairs;
  for (int64_t i = 0; i < kCount; ++i) {
    pairs += concat(i ? ", " : "", "[\"00000/img-mean-std-0000000", i, ".npy\", ", i % 3, "]");
  }
  return concat("{\"labels\": [", pairs, "]}");
}

LatentOptions of_pixels(PixelRange range = PixelRange::unit) {
  LatentOptions options;
  options.pixels = range;
  return options;
}

// What training reads of latent `index` at a place of the stream.
Tensor read_at(const LatentDataset& data, int64_t index, const StreamPlace& place) {
  const Tensor x = torch::empty({data.channels(), data.image_size(), data.image_size()});
  data.read(index, place, x.data_ptr<float>(), nullptr);
  return x;
}

std::string opening_complaint(const std::filesystem::path& path, const LatentOptions& options = of_pixels()) {
  return message_of<InputError>([&] { LatentDataset(path, options, true); });
}

TEST(Latents, ReadAsEdm2WritesThem) {
  const TemporaryFolder folder;
  const Tensor moments = random_moments(kCount, 4, 2);
  const LatentDataset data(write_latents(folder / "l.zip", moments, labelled_json()), of_pixels(), true);
  EXPECT_EQ(data.latents(), &data);
  EXPECT_EQ(data.numbers(), &data);
  EXPECT_FALSE(data.has_starts());
  EXPECT_EQ(data.size(), kCount);
  EXPECT_EQ(data.channels(), 4);
  EXPECT_EQ(data.image_size(), 2);
  EXPECT_EQ(data.classes(), 3);
  EXPECT_EQ(data.space().pixels, PixelRange::unit);
  EXPECT_EQ(data.space().vae_hash, "");
  std::vector<float> x(16);
  for (int64_t i = 0; i < kCount; ++i) {
    EXPECT_TRUE(torch::equal(data.moments(i), moments[i]));
    EXPECT_EQ(data.read(i, {}, x.data(), nullptr), i % 3);
  }
  EXPECT_THROW(data.get(0), c10::Error);
  EXPECT_EQ(LatentDataset(folder / "l.zip", of_pixels(), /*labels=*/false).classes(), 0);
}

TEST(Latents, AFolderIsReadAsAnArchive) {
  const TemporaryFolder folder;
  const Tensor moments = random_moments(2, 1, 4);
  for (int64_t i = 0; i < 2; ++i) write_file_atomically(folder / concat(i, ".npy"), npy_bytes(moments[i]));
  const LatentDataset data(folder.path(), of_pixels(), true);
  EXPECT_EQ(data.classes(), 0);
  EXPECT_TRUE(torch::equal(data.moments(1), moments[1]));
}

// x = normalised(mean + std · ε), ε from the seed and the place alone.
TEST(Latents, AreDrawnAnewAtEveryPlace) {
  const TemporaryFolder folder;
  const Tensor moments = random_moments(kCount, 4, 2);
  LatentOptions options = of_pixels();
  options.mean = {1, 2, 3, 4};
  options.std = {0.5, 1, 2, 4};
  options.scale = 0.3;
  const LatentDataset data(write_latents(folder / "l.zip", moments, ""), options, true);
  for (const int64_t sample : {int64_t{0}, int64_t{5}, int64_t{1} << 33}) {
    const RandomKey key{9, Purpose::latents, static_cast<uint32_t>(sample >> 32)};
    const Tensor e = normal(key, {sample}, {4, 2, 2})[0];
    const Tensor z = moments[3].narrow(0, 0, 4) + moments[3].narrow(0, 4, 4) * e;
    EXPECT_TRUE(torch::allclose(read_at(data, 3, {9, sample}), normalised(options, z), 1e-6, 1e-6)) << sample;
  }
  EXPECT_FALSE(torch::equal(read_at(data, 3, {9, 0}), read_at(data, 3, {9, 1})));
  EXPECT_FALSE(torch::equal(read_at(data, 3, {9, 0}), read_at(data, 3, {8, 0})));
  EXPECT_FALSE(torch::equal(read_at(data, 3, {9, 0}), read_at(data, 3, {9, int64_t{1} << 32})));
}

// The mean over many draws is the mean, their deviation the deviation.
TEST(Latents, TheirDrawsHaveTheMomentsThatAreStored) {
  const TemporaryFolder folder;
  const Tensor moments = random_moments(1, 1, 2);
  const LatentDataset data(write_latents(folder / "l.zip", moments, ""), of_pixels(), true);
  std::vector<Tensor> draws;
  for (int64_t sample = 0; sample < 4000; ++sample) draws.push_back(read_at(data, 0, {1, sample}));
  const Tensor all = torch::stack(draws);
  EXPECT_TRUE(torch::allclose(all.mean(0), moments[0].narrow(0, 0, 1), 0, 0.08));
  EXPECT_TRUE(torch::allclose(all.std(0), moments[0].narrow(0, 1, 1), 0.08, 0));
}

Tensor stream_of(const Dataset& data, const LoaderOptions& options, int64_t steps, int64_t first_step = 0) {
  Loader loader(data, options, first_step);
  std::vector<Tensor> x;
  for (int64_t i = 0; i < steps; ++i) x.push_back(loader.next().x);
  return torch::stack(x);
}

// Epochs end within batches, and each of them draws anew.
TEST(Latents, TheStreamIsOneForAnyWorkersPartsAndStart) {
  const TemporaryFolder folder;
  const LatentDataset data(write_latents(folder / "l.zip", random_moments(kCount, 4, 2), ""), of_pixels(),
                           true);
  const LoaderOptions options{.batch_size = 4, .seed = 3, .workers = 3};
  const Tensor whole = stream_of(data, options, 6);
  LoaderOptions other = options;
  other.workers = 1;
  EXPECT_TRUE(torch::equal(stream_of(data, other, 3, 3), whole.narrow(0, 3, 3)));
  other.parts = 2;
  other.part = 1;
  EXPECT_TRUE(torch::equal(stream_of(data, other, 6), whole.narrow(1, 2, 2)));
  const auto order = permutation({.seed = 3, .purpose = Purpose::data_order}, kCount);
  EXPECT_TRUE(torch::equal(whole[1][2], read_at(data, order[6], {3, 6})));
  EXPECT_FALSE(Loader(data, options).next().x_T.defined());
  EXPECT_THROW(Loader(data, {.horizontal_flip = true}), c10::Error);
}

TEST(Latents, WhatTheirArchiveSaysOfTheVaeHolds) {
  const TemporaryFolder folder;
  const auto path = write_latents(folder / "l.zip", random_moments(2, 4, 2), kOurJson);
  const LatentDataset data(path, {}, true);
  EXPECT_EQ(data.space().vae_hash, "abc");
  EXPECT_EQ(data.space().pixels, PixelRange::symmetric);
  EXPECT_THAT(
      opening_complaint(path, of_pixels(PixelRange::unit)),
      HasSubstr("its latents are of symmetric pixels, but data.latents.pixels is unit; leave that out"));
  const auto silent = write_latents(folder / "edm2.zip", random_moments(2, 4, 2), "");
  EXPECT_THAT(opening_complaint(silent, {}),
              HasSubstr("does not say how its VAE was told pixels; say it by data.latents.pixels: unit"));
}

TEST(Latents, WhatIsNoneIsRefused) {
  const TemporaryFolder folder;
  const auto refused = [&](const Tensor& moments) {
    return opening_complaint(write_latents(folder / "x.zip", moments.unsqueeze(0), ""));
  };
  EXPECT_THAT(
      refused(torch::zeros({3, 4, 4}, torch::kUInt8)),
      HasSubstr("expected the means and deviations of square latents, Float [2 · L, h, h]; images are"));
  EXPECT_THAT(refused(torch::zeros({3, 4, 4})), HasSubstr("is Float [3, 4, 4]; expected the means"));
  EXPECT_THAT(refused(torch::zeros({8, 4, 2})), HasSubstr("square latents"));
  EXPECT_THAT(refused(torch::zeros({8, 4})), HasSubstr("square latents"));
  test::write_zip(folder / "images.zip", {{"a.png", "?"}});
  EXPECT_THAT(opening_complaint(folder / "images.zip"),
              HasSubstr("has no latents (.npy); data.path must be a zip or folder of latents"));
  test::write_zip(folder / "two.zip", {{"a.npy", npy_bytes(torch::zeros({8, 2, 2}))},
                                       {"b.npy", npy_bytes(torch::zeros({8, 4, 4}))}});
  EXPECT_THAT(opening_complaint(folder / "two.zip"), HasSubstr("b.npy: has 640 bytes, but a.npy has 256"));
  LatentOptions narrow = of_pixels();
  narrow.mean = {1, 2};
  EXPECT_THAT(opening_complaint(write_latents(folder / "l.zip", random_moments(1, 4, 2), ""), narrow),
              HasSubstr("data.latents.mean must have 4 numbers"));
}

TEST(Latents, AnotherShapeInAFolderIsFoundWhenItIsRead) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.npy", npy_bytes(torch::zeros({8, 2, 2})));
  write_file_atomically(folder / "b.npy", npy_bytes(torch::zeros({8, 4, 4})));
  const LatentDataset data(folder.path(), of_pixels(), true);
  EXPECT_THAT(message_of<InputError>([&] { data.moments(1); }),
              HasSubstr("b.npy: is [8, 4, 4], but a.npy is [8, 2, 2]; all latents must have one shape"));
}

TEST(Latents, TheirOptionsBelongToThem) {
  const TemporaryFolder folder;
  const auto path = write_latents(folder / "l.zip", random_moments(2, 4, 2), kOurJson).string();
  const auto complaint = [](const DataOptions& options) {
    return message_of<InputError>([&] { open_dataset(options); });
  };
  EXPECT_THAT(complaint({.kind = kLatentsKind, .path = path}),
              HasSubstr("data.latents must say how the latents are normalised: scale: 0.18215"));
  EXPECT_THAT(
      complaint({.kind = kLatentsKind, .path = path, .horizontal_flip = true, .latents = LatentOptions()}),
      HasSubstr("data.horizontal_flip must be false for latents"));
  EXPECT_THAT(complaint({.kind = {"digits"}, .path = path, .latents = LatentOptions()}),
              HasSubstr("data.latents belongs to kind latents, but kind is digits"));
  test::expect_laws_of_a_kind({.kind = kLatentsKind, .path = path, .latents = LatentOptions()});
  DataOptions told{.kind = kLatentsKind, .path = path, .image_size = 2, .latents = LatentOptions()};
  EXPECT_FALSE(shape_of(told));
  told.latents->mean = {0, 0, 0, 0};
  test::expect_laws_of_a_kind(told);
  told.image_size = 4;
  EXPECT_THAT(complaint(told), HasSubstr("are 2 pixels wide, but data.image_size is 4; leave it out"));
}

TEST(Latents, TheirStatistics) {
  const TemporaryFolder folder;
  Tensor moments = torch::zeros({2, 4, 1, 1});
  moments[0].copy_(torch::tensor({1.0, 0.0, 3.0, 0.0}).view({4, 1, 1}));  // means 1, 0; deviations 3, 0
  moments[1].copy_(torch::tensor({3.0, 4.0, 1.0, 2.0}).view({4, 1, 1}));
  const LatentDataset data(write_latents(folder / "l.zip", moments, ""), of_pixels(), true);
  const LatentStatistics all = data.statistics(100);
  EXPECT_THAT(all.mean, testing::ElementsAre(2, 2));
  EXPECT_DOUBLE_EQ(all.std[0], std::sqrt((1 + 9 + 9 + 1) / 2.0 - 4));
  EXPECT_DOUBLE_EQ(all.std[1], std::sqrt((0 + 0 + 16 + 4) / 2.0 - 4));
  EXPECT_THAT(data.statistics(1).mean, testing::ElementsAre(1, 0));
}

TEST(Latents, StatisticsThatAreNotWhatAConfigTells) {
  const LatentScaling told{.mean = {1, -1}, .std = {2, 4}, .scale = 0.5};
  const auto check = [&](const LatentStatistics& of, double sigma_data) {
    check_statistics(of, told, sigma_data, "l.zip");
  };
  const auto logged = [&](const LatentStatistics& of, double sigma_data) {
    testing::internal::CaptureStderr();
    check(of, sigma_data);
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(logged({.mean = {1, -1}, .std = {2, 4}}, 0.5), "");
  EXPECT_THAT(logged({.mean = {1, -1}, .std = {2, 4}}, 1),
              HasSubstr("a root mean square of 0.5, but sigma.data is 1"));
  EXPECT_THAT(
      logged({.mean = {1, 5}, .std = {2, 4}}, 0.5),
      HasSubstr("l.zip: channel 1 of its latents is not what data.latents.mean and std say: they are about "
                "mean: [1, 5], std: [2, 4]"));
  EXPECT_THAT(message_of<InputError>([&] {
                check({.mean = {1, -1}, .std = {2, 0.5}}, 0.5);
              }),
              HasSubstr("channel 1 of its latents"));
  EXPECT_THAT(message_of<InputError>([&] {
                check({.mean = {1, -1}, .std = {2, 4}}, 10);
              }),
              HasSubstr("but sigma.data is 10"));
  EXPECT_THROW(check({.mean = {1, std::nan("")}, .std = {2, 4}}, 0.5), InputError);
}

}  // namespace
}  // namespace cm
