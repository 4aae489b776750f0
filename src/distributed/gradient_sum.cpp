#include "cm/distributed/gradient_sum.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
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
    std::vector<size_t> members;  // parameters
    Tensor buffer;                // fp32 [n]: gradients; undefined between passes, where gradients are cut
    Tensor own;                   // this rank's part of the sum; undefined where nothing is cut
    bool summed = false;          // `own` has a sum of this step
    size_t missing = 0;           // gradients of this pass that have not come yet
    Tensor received;              // the part of a pass
    std::optional<Pending> sent;
  };

  const ParameterShards& shards;
  std::vector<Bucket> buckets;
  // Of each parameter: its gradient lies in its bucket; it came in this pass; there is one in this step.
  std::vector<bool> in_bucket, came, has_gradient;
  bool sends = false;  // this pass does
  size_t next = 0;     // the bucket to send next

  explicit State(const ParameterShards& of);
  bool cuts_gradients() const { return shards.shard() == Shard::gradients; }
  Tensor& gradient(size_t parameter) const { return shards.parameters()[parameter].mutable_grad(); }
  void move_to_bucket(size_t parameter);
  void take(size_t parameter);
  void send_full();
  void send(Bucket& bucket);
  void receive(Bucket& bucket) const;
  void begin_pass(bool is_last);
  void end_pass();
  void hand_over();
};

GradientSum::State::State(const ParameterShards& of)
    : shards(of),
      buckets(of.layout().buckets()),
      in_bucket(of.parameters().size()),
      came(of.parameters().size()),
      has_gradient(of.parameters().size()) {
  const auto options = shards.parameters().front().options().requires_grad(false);
  for (size_t i = shards.parameters().size(); i-- > 0;) {
    buckets[shards.layout().place(i).bucket].members.push_back(i);
  }
  for (size_t b = 0; b < buckets.size(); ++b) {
    const int64_t size = shards.layout().size(b);
    if (!cuts_gradients()) buckets[b].buffer = torch::zeros({size}, options);
    if (shards.shard() == Shard::optimizer) buckets[b].own = part_of_rank(buckets[b].buffer, shards.world());
    if (cuts_gradients()) buckets[b].own = torch::zeros({size / shards.world().size()}, options);
  }
}

void GradientSum::State::move_to_bucket(size_t parameter) {
  const auto [index, first] = shards.layout().place(parameter);
  Bucket& bucket = buckets[index];
  if (!bucket.buffer.defined())
    bucket.buffer = torch::zeros({shards.layout().size(index)}, bucket.own.options());
  Tensor& gradient = this->gradient(parameter);
  const Tensor place = bucket.buffer.narrow(0, first, gradient.numel()).view(gradient.sizes());
  place.copy_(gradient);
  gradient = place;
  in_bucket[parameter] = true;
  has_gradient[parameter] = true;
}

// A parameter's gradient has been added up: in place, where it lies in its bucket already, as that of an
// earlier pass does, or of a block that is recomputed twice. That is too late when the bucket is gone.
void GradientSum::State::take(size_t parameter) {
  const torch::NoGradGuard guard;
  const size_t bucket = shards.layout().place(parameter).bucket;
  TORCH_CHECK(!sends || bucket >= next, "a gradient changed after it was sent to the other ranks");
  if (!in_bucket[parameter]) move_to_bucket(parameter);
  if (!sends || came[parameter]) return;
  came[parameter] = true;
  --buckets[bucket].missing;
  send_full();
}

void GradientSum::State::send_full() {
  for (; next < buckets.size() && buckets[next].missing == 0; ++next) send(buckets[next]);
}

void GradientSum::State::send(Bucket& bucket) {
  if (!bucket.own.defined()) {
    bucket.sent = shards.world().begin_all_reduce_sum(bucket.buffer);
    return;
  }
  for (const size_t i : bucket.members) {
    gradient(i) = Tensor();
    in_bucket[i] = false;
  }
  if (!bucket.buffer.defined()) return;  // no gradient of this pass is in it
  bucket.received = bucket.summed ? torch::empty_like(bucket.own) : bucket.own;
  bucket.sent = shards.world().begin_reduce_scatter_sum(bucket.buffer, bucket.received);
  if (next >= kInFlight) receive(buckets[next - kInFlight]);
}

void GradientSum::State::receive(Bucket& bucket) const {
  if (!bucket.sent) return;
  bucket.sent->wait();
  bucket.sent.reset();
  if (!bucket.own.defined()) return;
  if (bucket.summed) bucket.own.add_(bucket.received);
  bucket.summed = true;
  bucket.received = Tensor();
  if (cuts_gradients()) bucket.buffer = Tensor();
}

void GradientSum::State::begin_pass(bool is_last) {
  sends = is_last || cuts_gradients();
  came.assign(came.size(), false);
  for (Bucket& bucket : buckets) bucket.missing = bucket.members.size();
  next = 0;
}

void GradientSum::State::end_pass() {
  if (!sends) return;
  const torch::NoGradGuard guard;
  for (Bucket& bucket : buckets) bucket.missing = 0;  // what did not come has not changed in this pass
  send_full();
  for (Bucket& bucket : buckets) receive(bucket);
  sends = false;
}

// This rank's parts of the sums become the gradients of its parts of the parameters.
void GradientSum::State::hand_over() {
  for (size_t k = 0; k < shards.pieces().size(); ++k) {
    const ParameterShards::Piece& piece = shards.pieces()[k];
    const Tensor& sum = buckets[shards.layout().place(piece.parameter).bucket].own;
    shards.own()[k].mutable_grad() =
        has_gradient[piece.parameter] ? sum.narrow(0, piece.in_own, piece.count) : Tensor();
  }
}

GradientSum::GradientSum(const ParameterShards& shards) : state_(std::make_unique<State>(shards)) {
  for (size_t i = 0; i < shards.parameters().size(); ++i) {
    autograd::impl::set_post_acc_grad_hooks(
        shards.parameters()[i], std::make_unique<Hook>([state = state_.get(), i] { state->take(i); }));
  }
}

GradientSum::~GradientSum() {
  for (const Tensor& parameter : state_->shards.parameters()) {
    autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void GradientSum::begin(bool is_last) {
  state_->end_pass();
  state_->begin_pass(is_last);
}

void GradientSum::finish() {
  state_->end_pass();
  if (state_->shards.shard() != Shard::none) state_->hand_over();
  state_->in_bucket.assign(state_->in_bucket.size(), false);
  state_->has_gradient.assign(state_->has_gradient.size(), false);
  for (State::Bucket& bucket : state_->buckets) bucket.summed = false;
}

}  // namespace cm
