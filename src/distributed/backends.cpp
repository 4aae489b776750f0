#include "backends.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
// Defined where LibTorch has the group and its headers are there (cmake/Distributed.cmake).
#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

StorePointer meet(const Launch& launch, std::chrono::milliseconds timeout) {
  // c10d warns of each failed attempt; what comes of them is an exception, which is said once.
  constexpr int kErrors = 2;
  FLAGS_caffe2_log_level = std::max(FLAGS_caffe2_log_level, kErrors);
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && !launch.launcher_hosts;
  options.waitWorkers = false;
  options.timeout = timeout;
  auto store = c10::make_intrusive<c10d::TCPStore>(launch.host, options);
  return c10::make_intrusive<c10d::PrefixStore>(concat("consistency/", launch.attempt), store);
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

#ifdef USE_C10D_NCCL
BackendPointer make_nccl(const StorePointer& store, const Launch& launch, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(c10::make_intrusive<c10d::PrefixStore>("nccl", store),
                                                     static_cast<int>(launch.rank),
                                                     static_cast<int>(launch.size), options);
}
#else
BackendPointer make_nccl(const StorePointer&, const Launch& launch, std::chrono::milliseconds) {
  throw InputError(concat("this program was built without NCCL and can't be one of ", launch.size,
                          " processes on GPUs; build it with NCCL's headers, or use --device cpu"));
}
#endif

}  // namespace cm
