// NCCL's process group, a part of libconsistency_cuda (cm/base/gpus.h).
#pragma once

#include "backends.h"

// What make_nccl returns; the caller owns the reference.
extern "C" c10d::Backend* cm_make_nccl(const cm::StorePointer& store, const cm::Launch& launch,
                                       std::chrono::milliseconds timeout);
