// CUDA graphs, a part of libconsistency_cuda (cm/base/gpus.h).
#pragma once

#include <functional>

#include "cm/base/tensor.h"

namespace cm {

class RecordedWork {
 public:
  RecordedWork() = default;
  RecordedWork(const RecordedWork&) = delete;
  RecordedWork& operator=(const RecordedWork&) = delete;
  virtual ~RecordedWork() = default;
  virtual void play() = 0;
};

}  // namespace cm

// What DeviceGraph's constructor does; the caller deletes what it returns.
extern "C" cm::RecordedWork* cm_record_work(const torch::Device& device, const std::function<void()>& body);
