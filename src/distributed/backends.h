// c10d's process groups, whose headers are seen in backends.cpp and world.cpp alone.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "cm/distributed/launch.h"

namespace cm {

using BackendPointer = c10::intrusive_ptr<c10d::Backend>;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

// How long to wait for other processes, and how much of that in silence.
struct Patience {
  std::chrono::milliseconds at_most;
  std::chrono::milliseconds in_silence;
};

// The store through which the processes of `launch` find one another, once all of them have come to it. One
// of those that wait says for whom.
StorePointer meet(const Launch& launch, const Patience& patience);

// InputError when this LibTorch has none.
BackendPointer make_gloo(const StorePointer& store, const Launch& launch, std::chrono::milliseconds timeout);
BackendPointer make_nccl(const StorePointer& store, const Launch& launch, std::chrono::milliseconds timeout);

}  // namespace cm
