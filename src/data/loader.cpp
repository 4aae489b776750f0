#include "cm/data/loader.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/io/image.h"

namespace cm {
namespace {

// Workers claim this many samples at a time: few enough that all of them share a batch of large images,
// enough that claiming costs nothing beside small ones.
constexpr int64_t kSamplesPerClaim = 16;

void require_positive(const char* name, int64_t value) {
  if (value < 1) throw InputError(concat("the loader's ", name, " must be at least 1, got ", value));
}

bool is_mirrored(uint64_t seed, int64_t sample) {
  const RandomKey key{seed, Purpose::augmentation, static_cast<uint32_t>(sample >> 32)};
  return key.uniform(static_cast<uint32_t>(sample)) < 0.5;
}

}  // namespace

// The consumer adds slots, the workers fill them in the order of the stream, so `prefetch` bounds the memory.
// Batches are allocated by the consumer, because page-locked memory belongs to the current GPU of its thread.
struct Loader::State {
  using Order = std::shared_ptr<const std::vector<int64_t>>;

  // A batch in the making.
  struct Slot {
    Batch batch;
    int64_t unfinished = 0;  // samples
    std::exception_ptr failure;
  };

  // Consecutive samples of the stream, of one batch and one epoch.
  struct Claim {
    std::shared_ptr<Slot> slot;
    Order order;
    int64_t first = 0;
    int64_t count = 0;
  };

  State(const Dataset& data, const LoaderOptions& loader_options, int64_t first_step);
  ~State();

  Batch next();

  void add_slot();
  void work(const std::stop_token& stopped);
  std::optional<Claim> claim(const std::stop_token& stopped);
  void finish(const Claim& claim, std::exception_ptr failure);
  void fill(const Claim& claim, const std::stop_token& stopped) const;
  void copy_sample(const Tensor& pixels, bool mirrored, float* out) const;

  Tensor new_tensor(at::IntArrayRef shape, torch::ScalarType type) const;

  const Dataset& dataset;
  const LoaderOptions options;
  const int64_t rows;                                                   // of a batch that this loader gives
  const int64_t first_row;                                              // where they begin in the whole batch
  const Tensor values = from_uint8(torch::arange(256, torch::kUInt8));  // of the 256 pixel values

  std::mutex mutex;  // guards all that follows, and each slot's `unfinished` and `failure`
  std::condition_variable_any claimable;
  std::condition_variable finished;
  std::deque<std::shared_ptr<Slot>> slots;
  int64_t front_step;
  int64_t next_sample;  // the first of the stream that nobody has claimed
  int64_t epoch = -1;
  Order order;  // of `epoch`

  std::vector<std::jthread> threads;
};

Loader::State::State(const Dataset& data, const LoaderOptions& loader_options, int64_t first_step)
    : dataset(data),
      options(loader_options),
      rows(options.batch_size / std::max<int64_t>(1, options.parts)),
      first_row(options.part * rows),
      front_step(first_step),
      next_sample(first_step * options.batch_size + first_row) {
  require_positive("batch_size", options.batch_size);
  require_positive("parts", options.parts);
  require_positive("workers", options.workers);
  require_positive("prefetch", options.prefetch);
  require_positive("number of images", dataset.size());
  TORCH_CHECK(!(options.horizontal_flip && dataset.numbers()), "what is no picture has no mirror image");
  if (options.batch_size % options.parts != 0) {
    throw InputError(concat("a batch of ", options.batch_size, " images can't be divided into ",
                            options.parts, " equal parts; use a multiple"));
  }
  TORCH_CHECK(options.part >= 0 && options.part < options.parts, "there is no part ", options.part, " of ",
              options.parts);
  TORCH_CHECK(first_step >= 0, "a stream starts at step 0 or later, got ", first_step);
  for (int64_t i = 0; i < options.prefetch; ++i) add_slot();
  for (int64_t i = 0; i < options.workers; ++i) {
    threads.emplace_back([this](const std::stop_token& stopped) { work(stopped); });
  }
}

// All are told before the first is joined; each ends after at most one more image.
Loader::State::~State() {
  for (auto& thread : threads) thread.request_stop();
}

void Loader::State::add_slot() {
  const int64_t side = dataset.image_size();
  auto slot = std::make_shared<Slot>();
  slot->unfinished = rows;
  const std::array shape = {rows, dataset.channels(), side, side};
  slot->batch.x = new_tensor(shape, torch::kFloat32);
  slot->batch.labels = new_tensor({rows}, torch::kInt64);
  if (const auto* data = dataset.numbers(); data && data->has_starts())
    slot->batch.x_T = new_tensor(shape, torch::kFloat32);
  slots.push_back(std::move(slot));
}

Tensor Loader::State::new_tensor(at::IntArrayRef shape, torch::ScalarType type) const {
  return torch::empty(shape, torch::TensorOptions().dtype(type).pinned_memory(options.pinned));
}

Batch Loader::State::next() {
  std::unique_lock lock(mutex);
  finished.wait(lock, [&] { return slots.front()->unfinished == 0; });
  if (slots.front()->failure) std::rethrow_exception(slots.front()->failure);
  const std::shared_ptr<Slot> done = slots.front();
  add_slot();
  slots.pop_front();
  ++front_step;
  claimable.notify_all();
  return done->batch;
}

void Loader::State::work(const std::stop_token& stopped) {
  while (const auto claimed = claim(stopped)) {
    std::exception_ptr failure;
    try {
      fill(*claimed, stopped);
    } catch (...) {
      failure = std::current_exception();
    }
    finish(*claimed, failure);
  }
}

// Waits for samples to fill; nothing when the loader stops.
auto Loader::State::claim(const std::stop_token& stopped) -> std::optional<Claim> {
  const int64_t batch_size = options.batch_size;
  const int64_t size = dataset.size();
  std::unique_lock lock(mutex);
  const auto slot_of_next = [&] { return static_cast<size_t>(next_sample / batch_size - front_step); };
  if (!claimable.wait(lock, stopped, [&] { return slot_of_next() < slots.size(); })) return std::nullopt;

  if (epoch != next_sample / size) {
    epoch = next_sample / size;
    const RandomKey key{options.seed, Purpose::data_order, static_cast<uint32_t>(epoch)};
    order = std::make_shared<const std::vector<int64_t>>(permutation(key, size));
  }
  const int64_t left_in_batch = first_row + rows - next_sample % batch_size;
  const int64_t left_in_epoch = size - next_sample % size;
  Claim claimed{slots[slot_of_next()], order, next_sample,
                std::min({kSamplesPerClaim, left_in_batch, left_in_epoch})};
  next_sample += claimed.count;
  if (claimed.count == left_in_batch) next_sample += batch_size - rows;
  return claimed;
}

void Loader::State::finish(const Claim& claim, std::exception_ptr failure) {
  const std::lock_guard lock(mutex);
  if (failure && !claim.slot->failure) claim.slot->failure = std::move(failure);
  claim.slot->unfinished -= claim.count;
  if (claim.slot->unfinished == 0) finished.notify_one();
}

void Loader::State::fill(const Claim& claim, const std::stop_token& stopped) const {
  const Batch& batch = claim.slot->batch;
  float* const x = batch.x.data_ptr<float>();
  int64_t* const labels = batch.labels.data_ptr<int64_t>();
  for (int64_t sample = claim.first; sample < claim.first + claim.count && !stopped.stop_requested();
       ++sample) {
    const int64_t row = sample % options.batch_size - first_row;
    const int64_t index = (*claim.order)[static_cast<size_t>(sample % dataset.size())];
    float* const to = x + row * batch.x.stride(0);
    if (const NumberDataset* numbers = dataset.numbers()) {
      float* const start =
          numbers->has_starts() ? batch.x_T.data_ptr<float>() + row * batch.x_T.stride(0) : nullptr;
      labels[row] = numbers->read(index, {options.seed, sample}, to, start);
      continue;
    }
    const Example example = dataset.get(index);
    copy_sample(example.pixels, options.horizontal_flip && is_mirrored(options.seed, sample), to);
    labels[row] = example.label;
  }
}

// A plain loop: LibTorch's own would start threads that compete with those of the training step.
void Loader::State::copy_sample(const Tensor& pixels, bool mirrored, float* out) const {
  const int64_t channels = dataset.channels();
  const int64_t side = dataset.image_size();
  TORCH_CHECK(
      pixels.scalar_type() == torch::kUInt8 && pixels.sizes() == at::IntArrayRef({channels, side, side}),
      "the dataset returned an image that is not uint8 [C, H, W] of its own size");
  const auto in = pixels.accessor<uint8_t, 3>();
  const float* const value = values.const_data_ptr<float>();
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t y = 0; y < side; ++y) {
      for (int64_t x = 0; x < side; ++x) *out++ = value[in[c][y][mirrored ? side - 1 - x : x]];
    }
  }
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options, int64_t first_step)
    : state_(std::make_unique<State>(dataset, options, first_step)) {}

Loader::~Loader() = default;

Batch Loader::next() {
  return state_->next();
}

}  // namespace cm
