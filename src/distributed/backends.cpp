#include "backends.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <mutex>
// Defined where LibTorch has the group and its headers are there (cmake/Distributed.cmake).
#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

#include "cm/base/error.h"
#include "cm/base/gpus.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "nccl_cuda.h"

namespace cm {
namespace {

using Clock = std::chrono::steady_clock;
using Time = std::chrono::milliseconds;

// Runs `wait` for as long as it may be silent; where that was in vain, runs `remark` and `wait` for the rest.
void wait_patiently(const Patience& patience, const std::function<void(Time)>& wait,
                    const std::function<void()>& remark) {
  if (patience.at_most <= patience.in_silence) return wait(patience.at_most);
  const auto begin = Clock::now();
  try {
    return wait(patience.in_silence);
  } catch (const std::exception&) {
    if (Clock::now() - begin < patience.in_silence / 2) throw;  // something else is wrong
    remark();
  }
  wait(patience.at_most - patience.in_silence);
}

void say_waiting(const Launch& launch, const std::string& whom, const Patience& patience) {
  log_warning(concat("rank ", launch.rank, " of ", launch.size, ", as ", launch.told_by, " say, waits at ",
                     launch.host, ":", launch.port, " for ", whom, ", up to ",
                     shortest(static_cast<double>(patience.at_most.count()) / 1000),
                     " s; start all, or unset these variables to run alone"));
}

// c10d logs what it then throws, with a stack trace; what is thrown is said once, by whoever catches it. Its
// warnings, of each failed attempt, stay away afterwards too. Ranks that are threads of one process share the
// level.
class WithoutC10dsLog {
 public:
  WithoutC10dsLog() {
    const std::lock_guard lock(mutex);
    if (holders == 0) before = FLAGS_caffe2_log_level;
    holders += 1;
    FLAGS_caffe2_log_level = std::max(FLAGS_caffe2_log_level, kFatal);
  }
  ~WithoutC10dsLog() {
    const std::lock_guard lock(mutex);
    holders -= 1;
    if (holders == 0) FLAGS_caffe2_log_level = std::max(before, kErrors);
  }
  WithoutC10dsLog(const WithoutC10dsLog&) = delete;
  WithoutC10dsLog& operator=(const WithoutC10dsLog&) = delete;

 private:
  static constexpr int kErrors = 2;
  static constexpr int kFatal = 3;
  static inline std::mutex mutex;
  static inline int holders = 0;
  static inline int before = 0;  // valid while there are holders
};

c10::intrusive_ptr<c10d::TCPStore> open_store(const Launch& launch, const Patience& patience) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && !launch.launcher_hosts;
  options.waitWorkers = false;
  c10::intrusive_ptr<c10d::TCPStore> store;
  const std::string host = launch.launcher_hosts ? "the launcher"
                           : launch.rank == 0    ? "itself, whose machine that must be"
                                                 : "rank 0";
  wait_patiently(
      patience,
      [&](Time time) {
        options.timeout = time;
        store = c10::make_intrusive<c10d::TCPStore>(launch.host, options);
      },
      [&] { say_waiting(launch, host, patience); });
  store->setTimeout(patience.at_most);
  return store;
}

std::string key_of(int64_t rank) {
  return concat("rank ", rank);
}

// Those of `size` ranks that have not come to the store, ascending.
std::vector<int64_t> missing_ranks(c10d::Store& store, int64_t size) {
  std::vector<int64_t> missing;
  for (int64_t rank = 0; rank < size; ++rank) {
    if (!store.check({key_of(rank)})) missing.push_back(rank);
  }
  return missing;
}

// "rank 3", "ranks 1, 2", "ranks 1, 2, 3, 4, 5, 6, 7, 8 and 90 others".
std::string names_of(const std::vector<int64_t>& ranks) {
  constexpr size_t kNamed = 8;
  std::vector<std::string> named;
  for (const int64_t rank : ranks) {
    if (named.size() < kNamed) named.push_back(std::to_string(rank));
  }
  const size_t others = ranks.size() - named.size();
  return concat(ranks.size() == 1 ? "rank " : "ranks ", join(named),
                others > 0 ? concat(" and ", others, " others") : "");
}

// Comes to the store and waits there for the other ranks. The lowest that is there speaks for all.
void await_all(c10d::Store& store, const Launch& launch, const Patience& patience) {
  std::vector<std::string> keys;
  for (int64_t rank = 0; rank < launch.size; ++rank) keys.push_back(key_of(rank));
  store.set(key_of(launch.rank), "here");
  const auto missing = [&] { return missing_ranks(store, launch.size); };
  try {
    wait_patiently(
        patience, [&](Time time) { store.wait(keys, time); },
        [&] {
          const std::vector<int64_t> ranks = missing();
          const bool lowest =
              std::cmp_equal(std::ranges::lower_bound(ranks, launch.rank) - ranks.begin(), launch.rank);
          if (lowest && !ranks.empty()) say_waiting(launch, names_of(ranks), patience);
        });
  } catch (const std::exception&) {
    const std::vector<int64_t> ranks = missing();
    if (ranks.empty()) throw;
    throw Error(concat(names_of(ranks), " did not come"));
  }
}

}  // namespace

StorePointer meet(const Launch& launch, const Patience& patience) {
  const WithoutC10dsLog quiet;
  StorePointer store = c10::make_intrusive<c10d::PrefixStore>(concat("consistency/", launch.attempt),
                                                              open_store(launch, patience));
  await_all(*store, launch, patience);
  return store;
}

#ifdef USE_C10D_GLOO
BackendPointer make_gloo(const StorePointer& store, const Launch& launch, std::chrono::milliseconds timeout) {
  return c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("gloo", store), static_cast<int>(launch.rank),
      static_cast<int>(launch.size), c10d::ProcessGroupGloo::Options::create_default(timeout));
}
#else
BackendPointer make_gloo(const StorePointer&, const Launch& launch, std::chrono::milliseconds) {
  throw InputError(
      concat("this program was built without Gloo and can't be one of ", launch.size,
             " processes; install its headers (Debian: libgloo-dev), build again, or run it alone"));
}
#endif

BackendPointer make_nccl(const StorePointer& store, const Launch& launch, std::chrono::milliseconds timeout) {
  auto* const make = cuda_function<decltype(cm_make_nccl)>("cm_make_nccl");
  if (make == nullptr) {
    throw InputError(
        concat("this program was built without NCCL, or its libconsistency_cuda.so is not beside it, and "
               "can't be one of ",
               launch.size, " processes on GPUs; build it with NCCL's headers, or use --device cpu"));
  }
  return BackendPointer::reclaim(make(store, launch, timeout));
}

}  // namespace cm
