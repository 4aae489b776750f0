#include "nccl_cuda.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

c10d::Backend* cm_make_nccl(const cm::StorePointer& store, const cm::Launch& launch,
                            std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(c10::make_intrusive<c10d::PrefixStore>("nccl", store),
                                                     static_cast<int>(launch.rank),
                                                     static_cast<int>(launch.size), options)
      .release();
}
