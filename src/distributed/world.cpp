#include "cm/distributed/world.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>

#include "backends.h"
#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil(1000 * seconds)));
}

// What a library said, without the place in its sources before it and the stack trace after it.
std::string first_line(const std::string& what) {
  const size_t place = what.starts_with('[') ? what.find("] ") : std::string::npos;
  const size_t begin = place == std::string::npos ? 0 : place + 2;
  return what.substr(begin, what.find('\n') - begin);
}

std::string said(const std::exception& failure) {
  const auto* error = dynamic_cast<const c10::Error*>(&failure);
  return first_line(error == nullptr ? failure.what() : error->what_without_backtrace());
}

}  // namespace

struct World::Group {
  Launch launch;
  StorePointer store;
  BackendPointer on_cpu;
  BackendPointer on_gpu;  // null where the device is the CPU
  mutable double timeout = kUsualTimeout;

  Group() = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  // After a failure NCCL would wait for ranks that are gone.
  ~Group() {
    if (on_gpu) std::uncaught_exceptions() > 0 ? on_gpu->abort() : on_gpu->shutdown();
  }

  const BackendPointer& backend_of(const Tensor& tensor) const { return tensor.is_cpu() ? on_cpu : on_gpu; }

  // Whatever c10d throws, as the one thing that it means here.
  void guarded(const std::function<void()>& operation) const {
    try {
      operation();
    } catch (const std::exception& failure) {
      throw Error(concat("rank ", launch.rank, " of ", launch.size,
                         " lost another rank, which ended or did not answer within ", shortest(timeout),
                         " s (", said(failure), ")"));
    }
  }
};

void Pending::wait() {
  if (wait_) wait_();
}

int64_t World::rank() const {
  return group_ ? group_->launch.rank : 0;
}

int64_t World::size() const {
  return group_ ? group_->launch.size : 1;
}

void World::set_timeout(double seconds) const {
  if (!group_) return;
  group_->timeout = seconds;
  group_->on_cpu->setTimeout(milliseconds(seconds));
  if (group_->on_gpu) group_->on_gpu->setTimeout(milliseconds(seconds));
}

Pending World::begin_all_reduce_sum(const Tensor& tensor) const {
  if (!group_) return Pending({});
  std::vector<Tensor> tensors = {tensor};
  c10::intrusive_ptr<c10d::Work> work;
  group_->guarded([&] { work = group_->backend_of(tensor)->allreduce(tensors); });
  return Pending([group = group_, work] { group->guarded([&] { work->wait(); }); });
}

// Gloo's own reduce-scatter sums all of it on every rank, so its parts are exchanged, which sends half of
// that, and summed here.
Pending World::begin_reduce_scatter_sum(const Tensor& whole, const Tensor& own) const {
  if (!group_) {
    no_grad([&] { own.copy_(whole); });
    return Pending({});
  }
  c10::intrusive_ptr<c10d::Work> work;
  Tensor sent = whole;
  Tensor received = whole.is_cpu() ? torch::empty_like(whole) : own;
  group_->guarded([&] {
    if (!whole.is_cpu()) {
      work = group_->on_gpu->_reduce_scatter_base(received, sent);
      return;
    }
    std::vector<int64_t> equal_parts;
    work = group_->on_cpu->alltoall_base(received, sent, equal_parts, equal_parts);
  });
  return Pending([group = group_, work, received, own] {
    group->guarded([&] { work->wait(); });
    if (!own.is_cpu()) return;
    const torch::NoGradGuard guard;
    Tensor sum = own;
    torch::sum_out(sum, received.view({-1, own.size(0)}), 0);
  });
}

Pending World::begin_all_gather(const Tensor& own, const Tensor& whole) const {
  if (!group_) {
    no_grad([&] { whole.copy_(own); });
    return Pending({});
  }
  Tensor all = whole;
  Tensor mine = own;
  c10::intrusive_ptr<c10d::Work> work;
  group_->guarded([&] { work = group_->backend_of(whole)->_allgather_base(all, mine); });
  return Pending([group = group_, work] { group->guarded([&] { work->wait(); }); });
}

void World::all_reduce_sum(const Tensor& tensor) const {
  begin_all_reduce_sum(tensor).wait();
}

void World::broadcast(const std::vector<Tensor>& tensors) const {
  if (!group_) return;
  for (const Tensor& tensor : tensors) {
    std::vector<Tensor> one = {tensor};
    group_->guarded([&] { group_->backend_of(tensor)->broadcast(one)->wait(); });
  }
}

Tensor World::gather(const Tensor& rows) const {
  if (!group_) return rows;
  Tensor counts = torch::zeros({size()}, torch::kInt64);
  counts[rank()] = rows.size(0);
  all_reduce_sum(counts);
  Tensor all;
  if (is_first()) {
    std::vector<int64_t> shape = rows.sizes().vec();
    shape[0] = counts.sum().item<int64_t>();
    all = torch::empty(shape, rows.options());
    all.narrow(0, 0, rows.size(0)).copy_(rows);
  }
  int64_t first = counts[0].item<int64_t>();
  for (int64_t sender = 1; sender < size(); ++sender) {
    const auto count = counts[sender].item<int64_t>();
    std::vector<Tensor> part = {is_first() ? all.narrow(0, first, count) : rows};
    first += count;
    if (count == 0) continue;
    group_->guarded([&] {
      if (is_first()) group_->on_cpu->recv(part, static_cast<int>(sender), /*tag=*/0)->wait();
      if (rank() == sender) group_->on_cpu->send(part, /*dstRank=*/0, /*tag=*/0)->wait();
    });
  }
  return all;
}

void World::barrier() const {
  all_reduce_sum(torch::zeros({1}, torch::kInt64));
}

void World::together(const std::function<void()>& body) const {
  std::exception_ptr mistake;
  try {
    body();
  } catch (const InputError&) {
    if (!group_) throw;
    mistake = std::current_exception();
  }
  if (!group_) return;
  Tensor mistaken = torch::zeros({size()}, torch::kInt64);
  mistaken[rank()] = mistake ? 1 : 0;
  all_reduce_sum(mistaken);
  if (!mistaken.any().item<bool>()) return;
  if (mistake && mistaken.argmax().item<int64_t>() == rank()) std::rethrow_exception(mistake);
  throw InputError(std::vector<std::string>{});
}

World connect(const Launch& launch, const torch::Device& device, double timeout, double silence) {
  World world;
  if (launch.size == 1) return world;
  auto group = std::make_shared<World::Group>();
  group->launch = launch;
  group->timeout = timeout;
  try {
    group->store = meet(launch, {.at_most = milliseconds(timeout), .in_silence = milliseconds(silence)});
    group->on_cpu = make_gloo(group->store, launch, milliseconds(timeout));
    if (device.is_cuda()) {
      // What asks for the current GPU (page-locked memory, say) is to mean this rank's.
      c10::impl::getDeviceGuardImpl(device.type())->setDevice(device);
      group->on_gpu = make_nccl(group->store, launch, milliseconds(timeout));
    }
  } catch (const InputError&) {
    throw;
  } catch (const std::exception& failure) {
    throw Error(concat("rank ", launch.rank, " did not meet the other ", launch.size - 1, " at ", launch.host,
                       ":", launch.port, " within ", shortest(timeout),
                       " s; check that all were started and that the port (MASTER_PORT) is free (",
                       said(failure), ")"));
  }
  world.group_ = std::move(group);
  return world;
}

Share share_of(int64_t count, const World& world) {
  const int64_t whole = count / world.size();
  const int64_t more = count % world.size();
  return {.first = world.rank() * whole + std::min(world.rank(), more),
          .count = whole + (world.rank() < more ? 1 : 0)};
}

}  // namespace cm
