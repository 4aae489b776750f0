#include "cm/distributed/gradient_sum.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <optional>

namespace cm {
namespace {

namespace autograd = torch::autograd;

struct Hook : autograd::PostAccumulateGradHook {
  explicit Hook(std::function<void()> call) : call_(std::move(call)) {}
  void operator()(const autograd::Variable&) override { call_(); }

 private:
  std::function<void()> call_;
};

}  // namespace

struct GradientSum::State {
  struct Bucket {
    Tensor buffer;        // fp32 [n]: gradients end to end; behind those of the last bucket, the loss
    int64_t missing = 0;  // gradients that have not come yet
    std::optional<Pending> sent;
  };

  // A parameter's place in its bucket.
  struct Slot {
    size_t bucket = 0;
    Tensor view;  // in the parameter's shape
    bool filled = false;
  };

  World world;
  std::vector<Tensor> parameters;
  std::vector<Slot> slots;  // one a parameter
  std::vector<Bucket> buckets;
  bool active = false;  // between begin and finish
  size_t next = 0;      // the bucket to send next

  void lay_out(int64_t bucket_bytes);
  void add_bucket(const std::vector<size_t>& members, int64_t more);
  void take(size_t index);
  void send_full();
  Tensor loss() const { return buckets.back().buffer.narrow(0, buckets.back().buffer.size(0) - 1, 1); }
};

void GradientSum::State::lay_out(int64_t bucket_bytes) {
  const int64_t capacity = bucket_bytes / static_cast<int64_t>(sizeof(float));
  std::vector<size_t> members;
  int64_t numbers = 0;
  for (size_t i = parameters.size(); i-- > 0;) {
    if (!members.empty() && numbers + parameters[i].numel() > capacity) {
      add_bucket(members, /*more=*/0);
      members.clear();
      numbers = 0;
    }
    members.push_back(i);
    numbers += parameters[i].numel();
  }
  add_bucket(members, /*more=*/1);
}

void GradientSum::State::add_bucket(const std::vector<size_t>& members, int64_t more) {
  int64_t size = more;
  for (const size_t i : members) size += parameters[i].numel();
  Bucket bucket;
  bucket.buffer = torch::zeros({size}, parameters.front().options().requires_grad(false));
  int64_t first = 0;
  for (const size_t i : members) {
    const int64_t count = parameters[i].numel();
    slots[i].bucket = buckets.size();
    slots[i].view = bucket.buffer.narrow(0, first, count).view(parameters[i].sizes());
    first += count;
  }
  buckets.push_back(std::move(bucket));
}

// A parameter's gradient has been added up: moves it into its bucket. One that comes a second time (a block
// that is recomputed twice) was added in place, which is too late only when the bucket is gone.
void GradientSum::State::take(size_t index) {
  if (!active) return;
  const torch::NoGradGuard guard;
  Slot& slot = slots[index];
  Bucket& bucket = buckets[slot.bucket];
  TORCH_CHECK(!bucket.sent, "a gradient changed after it was sent to the other ranks");
  if (slot.filled) return;
  slot.view.copy_(parameters[index].grad());
  parameters[index].mutable_grad() = slot.view;
  slot.filled = true;
  --bucket.missing;
  send_full();
}

void GradientSum::State::send_full() {
  for (; next < buckets.size() && buckets[next].missing == 0; ++next) {
    buckets[next].sent = world.begin_all_reduce_sum(buckets[next].buffer);
  }
}

GradientSum::GradientSum(World world, std::vector<Tensor> parameters, int64_t bucket_bytes)
    : state_(std::make_unique<State>()) {
  TORCH_CHECK(!parameters.empty(), "there are no gradients to sum");
  state_->world = std::move(world);
  state_->parameters = std::move(parameters);
  state_->slots.resize(state_->parameters.size());
  for (const Tensor& parameter : state_->parameters) {
    TORCH_CHECK(parameter.is_leaf() && parameter.scalar_type() == torch::kFloat32 &&
                    parameter.device() == state_->parameters.front().device(),
                "gradients are summed of leaf tensors in fp32 on one device");
  }
  state_->lay_out(bucket_bytes);
  for (size_t i = 0; i < state_->parameters.size(); ++i) {
    autograd::impl::set_post_acc_grad_hooks(
        state_->parameters[i], std::make_unique<Hook>([state = state_.get(), i] { state->take(i); }));
  }
}

GradientSum::~GradientSum() {
  for (const Tensor& parameter : state_->parameters) {
    autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void GradientSum::begin(const Tensor& loss) {
  for (State::Slot& slot : state_->slots) slot.filled = false;
  for (State::Bucket& bucket : state_->buckets) {
    bucket.missing = 0;
    bucket.sent.reset();
  }
  for (const State::Slot& slot : state_->slots) ++state_->buckets[slot.bucket].missing;
  state_->next = 0;
  no_grad([&] { state_->loss().copy_(loss.reshape({1})); });
  state_->active = true;
}

Tensor GradientSum::finish() {
  State& state = *state_;
  state.active = false;
  const torch::NoGradGuard guard;
  // Gradients that the last backward pass did not touch: what earlier ones left, or none.
  for (size_t i = 0; i < state.slots.size(); ++i) {
    if (state.slots[i].filled) continue;
    Tensor& gradient = state.parameters[i].mutable_grad();
    if (gradient.defined()) {
      state.slots[i].view.copy_(gradient);
      gradient = state.slots[i].view;
    }
    --state.buckets[state.slots[i].bucket].missing;
  }
  state.send_full();
  for (State::Bucket& bucket : state.buckets) bucket.sent->wait();
  return state.loss().reshape({}).clone();
}

}  // namespace cm
