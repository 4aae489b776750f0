#include "cm/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "src/data/memory_dataset.h"
#include "support/message_of.h"

namespace cm {
namespace {

using std::chrono::milliseconds;
using test::message_of;
using testing::HasSubstr;

// `size` images of 2×2 pixels: image i has i in its left column, 255 in its right one, and the label i.
InMemoryDataset numbered(int64_t size) {
  const Tensor numbers = torch::arange(size);
  const Tensor left = numbers.to(torch::kUInt8).view({size, 1, 1, 1}).expand({size, 1, 2, 1});
  return {torch::cat({left, torch::full_like(left, 255)}, 3), numbers, size};
}

// An image of one black pixel, as slow as a large file.
class SlowDataset final : public Dataset {
 public:
  explicit SlowDataset(milliseconds delay) : delay_(delay) {}
  int64_t size() const override { return 1000; }
  int64_t channels() const override { return 1; }
  int64_t image_size() const override { return 1; }
  int64_t classes() const override { return 0; }
  Example get(int64_t) const override {
    if (++reading_ > 1) shared_ = true;
    std::this_thread::sleep_for(delay_);
    --reading_;
    ++reads_;
    return {torch::zeros({1, 1, 1}, torch::kUInt8)};
  }
  int64_t reads() const { return reads_; }
  // Whether two workers ever read at once.
  bool shared() const { return shared_; }

 private:
  milliseconds delay_;
  mutable std::atomic<int64_t> reading_ = 0;
  mutable std::atomic<int64_t> reads_ = 0;
  mutable std::atomic<bool> shared_ = false;
};

// A folder in which image 7 is broken.
class BrokenDataset final : public Dataset {
 public:
  int64_t size() const override { return 20; }
  int64_t channels() const override { return 1; }
  int64_t image_size() const override { return 1; }
  int64_t classes() const override { return 0; }
  Example get(int64_t index) const override {
    if (index == 7) throw InputError("photo7.png: broken");
    return {torch::zeros({1, 1, 1}, torch::kUInt8)};
  }
};

struct Stream {
  Tensor x;
  Tensor labels;
};

Stream read(const Dataset& dataset, const LoaderOptions& options, int64_t steps, int64_t first_step = 0) {
  Loader loader(dataset, options, first_step);
  std::vector<Tensor> x;
  std::vector<Tensor> labels;
  for (int64_t i = 0; i < steps; ++i) {
    const Batch batch = loader.next();
    x.push_back(batch.x);
    labels.push_back(batch.labels);
  }
  return {torch::cat(x), torch::cat(labels)};
}

bool equal(const Stream& a, const Stream& b) {
  return torch::equal(a.x, b.x) && torch::equal(a.labels, b.labels);
}

TEST(Loader, ReadsEveryImageOnceAnEpochInTheSeedsOrder) {
  const auto dataset = numbered(50);
  const Stream stream = read(dataset, {.batch_size = 20, .seed = 3}, 5);
  for (uint32_t epoch = 0; epoch < 2; ++epoch) {
    const Tensor labels = stream.labels.slice(0, 50 * epoch, 50 * (epoch + 1));
    const auto order = permutation({.seed = 3, .purpose = Purpose::data_order, .step = epoch}, 50);
    EXPECT_TRUE(torch::equal(labels, torch::tensor(order)));
    EXPECT_TRUE(torch::equal(std::get<0>(labels.sort()), torch::arange(50)));
  }
}

TEST(Loader, MapsPixelsToMinusOneToOne) {
  const auto dataset = numbered(50);
  const Stream stream = read(dataset, {.batch_size = 50}, 1);
  EXPECT_EQ(stream.x.scalar_type(), torch::kFloat32);
  EXPECT_EQ(stream.x.sizes(), at::IntArrayRef({50, 1, 2, 2}));
  const Tensor left = stream.labels.to(torch::kFloat32) / 127.5 - 1;
  EXPECT_TRUE(torch::equal(stream.x.select(3, 0), left.view({50, 1, 1}).expand({50, 1, 2})));
  EXPECT_TRUE(torch::equal(stream.x.select(3, 1), torch::ones({50, 1, 2})));
}

TEST(Loader, DoesNotDependOnWorkersOrPrefetch) {
  const auto dataset = numbered(37);
  const Stream one =
      read(dataset, {.batch_size = 24, .workers = 1, .prefetch = 1, .horizontal_flip = true}, 10);
  const Stream four =
      read(dataset, {.batch_size = 24, .workers = 4, .prefetch = 7, .horizontal_flip = true}, 10);
  EXPECT_TRUE(equal(one, four));
  const Stream other = read(dataset, {.batch_size = 24, .seed = 1, .horizontal_flip = true}, 10);
  EXPECT_FALSE(torch::equal(one.labels, other.labels));
}

TEST(Loader, DoesNotDependOnTheBatchSize) {
  const auto dataset = numbered(37);
  EXPECT_TRUE(equal(read(dataset, {.batch_size = 5, .horizontal_flip = true}, 18),
                    read(dataset, {.batch_size = 90, .horizontal_flip = true}, 1)));
}

TEST(Loader, ResumesInMidEpoch) {
  const auto dataset = numbered(37);
  const LoaderOptions options{.batch_size = 8, .horizontal_flip = true};
  const Stream whole = read(dataset, options, 12);
  const Stream rest = read(dataset, options, 5, 7);
  EXPECT_TRUE(equal(rest, {whole.x.slice(0, 56), whole.labels.slice(0, 56)}));
}

TEST(Loader, FillsABatchFromManySmallEpochs) {
  const auto dataset = numbered(3);
  const Stream stream = read(dataset, {.batch_size = 30}, 1);
  EXPECT_TRUE(torch::equal(torch::bincount(stream.labels), torch::tensor({10, 10, 10})));
}

TEST(Loader, MirrorsHalfOfTheImages) {
  const auto dataset = numbered(100);
  const Stream stream = read(dataset, {.batch_size = 100, .horizontal_flip = true}, 20);
  const Tensor mirrored = stream.x.select(3, 0).select(2, 0).eq(1);  // the white column is on the left
  EXPECT_NEAR(mirrored.to(torch::kFloat32).mean().item<double>(), 0.5, 0.05);
  // An image is mirrored in some epochs and not in others.
  const Tensor epochs_of_first = mirrored.view({-1}).masked_select(stream.labels.eq(0));
  EXPECT_TRUE(epochs_of_first.any().item<bool>() && !epochs_of_first.all().item<bool>());
}

TEST(Loader, ReadsNoFurtherAheadThanAsked) {
  const SlowDataset dataset(milliseconds(0));
  Loader loader(dataset, {.batch_size = 8, .workers = 3, .prefetch = 2});
  for (int i = 0; i < 200 && dataset.reads() < 16; ++i) std::this_thread::sleep_for(milliseconds(10));
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_EQ(dataset.reads(), 16);
  loader.next();
  for (int i = 0; i < 200 && dataset.reads() < 24; ++i) std::this_thread::sleep_for(milliseconds(10));
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_EQ(dataset.reads(), 24);
}

TEST(Loader, SharesABatchAmongItsWorkers) {
  for (const int workers : {1, 8}) {
    const SlowDataset dataset(milliseconds(5));
    Loader loader(dataset, {.batch_size = 64, .workers = workers, .prefetch = 1});
    loader.next();
    EXPECT_EQ(dataset.shared(), workers > 1);
  }
}

TEST(Loader, StopsInMidBatch) {
  const SlowDataset dataset(milliseconds(5));
  const auto start = std::chrono::steady_clock::now();
  {
    Loader loader(dataset, {.batch_size = 1000, .workers = 2});
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1000));  // a batch takes 2,500
}

TEST(Loader, PartsJoinedAreTheWholeStream) {
  const auto dataset = numbered(10);  // batches span epochs, and a part skips whole ones
  constexpr int64_t kBatch = 24;
  constexpr int64_t kSteps = 4;
  const Stream whole = read(dataset, {.batch_size = kBatch, .seed = 3, .horizontal_flip = true}, kSteps, 1);
  for (const int64_t parts : {2, 3, 24}) {
    std::vector<Tensor> x;
    std::vector<Tensor> labels;
    for (int64_t part = 0; part < parts; ++part) {
      const LoaderOptions options{
          .batch_size = kBatch, .part = part, .parts = parts, .seed = 3, .horizontal_flip = true};
      const Stream stream = read(dataset, options, kSteps, 1);
      x.push_back(stream.x.view({kSteps, kBatch / parts, 1, 2, 2}));
      labels.push_back(stream.labels.view({kSteps, kBatch / parts}));
    }
    EXPECT_TRUE(torch::equal(torch::cat(x, 1).flatten(0, 1), whole.x)) << parts;
    EXPECT_TRUE(torch::equal(torch::cat(labels, 1).flatten(), whole.labels)) << parts;
  }
}

TEST(Loader, HandsOnWhatAWorkerMetInItsPlace) {
  const BrokenDataset dataset;
  const auto order = permutation({.seed = 0, .purpose = Purpose::data_order}, 20);
  const auto place = std::find(order.begin(), order.end(), 7) - order.begin();
  Loader loader(dataset, {.batch_size = 1, .prefetch = 8});
  for (int64_t i = 0; i < place; ++i) EXPECT_NO_THROW(loader.next());
  for (int again = 0; again < 2; ++again) {
    EXPECT_THAT(message_of<InputError>([&] { loader.next(); }), HasSubstr("photo7.png: broken"));
  }
}

TEST(Loader, RefusesImpossibleOptions) {
  const auto dataset = numbered(3);
  const auto complaint = [&](const LoaderOptions& options) {
    return message_of<InputError>([&] { Loader(dataset, options); });
  };
  EXPECT_THAT(complaint({.batch_size = 0}), HasSubstr("batch_size must be at least 1, got 0"));
  EXPECT_THAT(complaint({.workers = 0}), HasSubstr("workers must be at least 1"));
  EXPECT_THAT(complaint({.prefetch = 0}), HasSubstr("prefetch must be at least 1"));
  EXPECT_THAT(complaint({.parts = 0}), HasSubstr("parts must be at least 1"));
  EXPECT_THAT(complaint({.batch_size = 4, .parts = 3}),
              HasSubstr("a batch of 4 images can't be divided into 3 equal parts"));
  EXPECT_THROW(Loader(dataset, {.part = 2, .parts = 2}), c10::Error);
  EXPECT_THROW(Loader(dataset, {}, -1), c10::Error);
}

}  // namespace
}  // namespace cm
