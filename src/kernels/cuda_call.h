// A call of a kernel for GPUs on behalf of tensors: on their GPU, in the order of LibTorch's operators there.
#pragma once

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "cm/base/tensor.h"
#include "cuda_number.h"
#include "cuda_stream.h"

namespace cm::cuda {

class Call {
 public:
  explicit Call(const torch::Device& device)
      : guard_(device),
        stream_(static_cast<Stream>(
            c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle())) {}

  Stream stream() const { return stream_; }

 private:
  c10::DeviceGuard guard_;
  Stream stream_;
};

// Of a tensor of one of these types.
Number number_of(const Tensor& x);

// Whether this library has kernels for a GPU; false for what is none.
bool has_kernels_for(const torch::Device& device);

}  // namespace cm::cuda
