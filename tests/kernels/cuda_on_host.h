// Runs the kernels for GPUs on the host, for machines without one. Included before a kernel's source, it
// gives CUDA's words for functions and threads a meaning for the host's compiler. A block's threads are
// contexts of one host thread, which run in turn up to their next barrier or exchange; blocks run one after
// another.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <ucontext.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(...)
#define __grid_constant__

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
inline uint3 threadIdx;
inline uint3 blockIdx;
// NOLINTEND(readability-identifier-naming)

namespace cm::cuda {

inline constexpr size_t kMostSharedBytes = 48 * 1024;
inline float4 shared_memory_of_the_block[kMostSharedBytes / sizeof(float4) + 1];

}  // namespace cm::cuda

namespace cm::cuda_on_host {

// In which order the warps of a block and the threads of a warp get their turns. What they compute must not
// depend on it; where a barrier is missing, it does.
enum class Order { upwards, downwards };

inline constexpr unsigned kWarp = 32;

// The threads of one block at a time.
class Machine {
 public:
  static Machine& instance() {
    static Machine machine;
    return machine;
  }

  void run_block(unsigned threads, Order order, const std::function<void()>& kernel) {
    kernel_ = &kernel;
    states_.assign(threads, State::runnable);
    slots_.assign(threads, 0);
    contexts_.resize(threads);
    while (stacks_.size() < threads) stacks_.emplace_back(new char[kStackBytes]);
    for (unsigned i = 0; i < threads; ++i) {
      getcontext(&contexts_[i]);
      contexts_[i].uc_stack.ss_sp = stacks_[i].get();
      contexts_[i].uc_stack.ss_size = kStackBytes;
      contexts_[i].uc_link = &scheduler_;
      makecontext(&contexts_[i], &Machine::enter, 0);
    }
    const unsigned warps = threads / kWarp;
    do {
      for (unsigned k = 0; k < warps; ++k) {
        const unsigned first = (order == Order::upwards ? k : warps - 1 - k) * kWarp;
        while (give_turns(first, order) || release_warp(first)) {
        }
      }
    } while (release_block());
    for (const State state : states_) {
      if (state != State::ended) throw std::logic_error("a thread waits for others that have ended");
    }
  }

  void wait_for_block() { wait(State::at_barrier); }

  // The x of the thread whose number in the warp differs in `bits`.
  float exchange(float x, int bits) {
    const unsigned self = threadIdx.x;
    slots_[self] = x;
    wait(State::exchanging);
    const float other = slots_[self ^ static_cast<unsigned>(bits)];
    wait(State::exchanging);  // until the others have read this one's
    return other;
  }

 private:
  enum class State : char { runnable, at_barrier, exchanging, ended };
  static constexpr size_t kStackBytes = 128 * 1024;

  static void enter() {
    (*instance().kernel_)();
    instance().states_[threadIdx.x] = State::ended;
  }

  void wait(State state) {
    const unsigned self = threadIdx.x;
    states_[self] = state;
    swapcontext(&contexts_[self], &scheduler_);
  }

  bool give_turns(unsigned first, Order order) {
    bool any = false;
    for (unsigned k = 0; k < kWarp; ++k) {
      const unsigned i = first + (order == Order::upwards ? k : kWarp - 1 - k);
      if (states_[i] != State::runnable) continue;
      any = true;
      threadIdx = {i, 0, 0};
      swapcontext(&scheduler_, &contexts_[i]);
    }
    return any;
  }

  bool all_are(State state, size_t first, size_t end) const {
    for (size_t i = first; i < end; ++i) {
      if (states_[i] != state) return false;
    }
    return true;
  }

  bool release_warp(unsigned first) {
    if (!all_are(State::exchanging, first, first + kWarp)) return false;
    std::fill_n(states_.begin() + first, kWarp, State::runnable);
    return true;
  }

  bool release_block() {
    if (!all_are(State::at_barrier, 0, states_.size())) return false;
    states_.assign(states_.size(), State::runnable);
    return true;
  }

  const std::function<void()>* kernel_ = nullptr;
  ucontext_t scheduler_ = {};
  std::vector<ucontext_t> contexts_;
  std::vector<std::unique_ptr<char[]>> stacks_;
  std::vector<State> states_;
  std::vector<float> slots_;
};

// In place of a stream's launch. A block finds no numbers in its shared memory, and may not write beyond it.
template <int threads>
struct HostLaunch {
  Order order = Order::upwards;

  template <class Job>
  void operator()(void (*kernel)(Job), int64_t blocks, size_t shared_bytes, const Job& job) const {
    if (shared_bytes > cuda::kMostSharedBytes) throw std::logic_error("too much shared memory");
    auto* const shared = reinterpret_cast<float*>(cuda::shared_memory_of_the_block);
    const size_t end = shared_bytes / sizeof(float);
    for (int64_t block = 0; block < blocks; ++block) {
      blockIdx = {static_cast<unsigned>(block), 0, 0};
      std::fill_n(shared, end, std::numeric_limits<float>::quiet_NaN());
      shared[end] = kCanary;
      Machine::instance().run_block(threads, order, [&] { kernel(job); });
      if (shared[end] != kCanary) throw std::logic_error("a block wrote beyond its shared memory");
    }
  }

  static constexpr float kCanary = 12345;
};

}  // namespace cm::cuda_on_host

// The functions of CUDA that the kernels call.
// NOLINTBEGIN(readability-identifier-naming)

inline void __syncthreads() {
  cm::cuda_on_host::Machine::instance().wait_for_block();
}

inline float __shfl_xor_sync(unsigned /*lanes*/, float x, int bits) {
  return cm::cuda_on_host::Machine::instance().exchange(x, bits);
}

inline float __expf(float x) {
  return std::exp(x);
}

inline float __fdividef(float x, float y) {
  return x / y;
}

// NOLINTEND(readability-identifier-naming)
