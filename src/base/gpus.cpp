#include "cm/base/gpus.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <torch/cuda.h>

#include "cm/base/text.h"

namespace cm {
namespace {

// Of CUDA's driver interface, cuda.h; the library stays loaded.
constexpr int kSuccess = 0;
constexpr int kNoDevice = 100;

std::string name_of(void* driver, int result) {
  const auto name = reinterpret_cast<int (*)(int, const char**)>(dlsym(driver, "cuGetErrorName"));
  const char* said = nullptr;
  if (name != nullptr && name(result, &said) == kSuccess && said != nullptr) return said;
  return concat("error ", result);
}

Gpus of_the_driver() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);
  if (driver == nullptr) return {.obstacle = "there is no libcuda.so.1, NVIDIA's driver"};
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count_devices = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  if (init == nullptr || count_devices == nullptr) {
    return {.obstacle = "libcuda.so.1 is none of NVIDIA's drivers", .faulty = true};
  }
  int count = 0;
  int result = init(0);
  if (result == kSuccess) result = count_devices(&count);
  if (result == kNoDevice || (result == kSuccess && count == 0)) {
    return {.obstacle = "NVIDIA's driver has none for this process"};
  }
  if (result != kSuccess) {
    return {.obstacle = concat("NVIDIA's driver does not start: ", name_of(driver, result)), .faulty = true};
  }
  return {.usable = count};
}

Gpus ask() {
  const Gpus of_driver = of_the_driver();
  if (of_driver.usable == 0) return of_driver;
  if (dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_GLOBAL) == nullptr) {
    return {.obstacle = concat("LibTorch's part for CUDA could not be loaded: ", dlerror()), .faulty = true};
  }
  if (!at::detail::getCUDAHooks().hasCUDART()) {
    return {.obstacle = "LibTorch was asked for GPUs before its part for CUDA was loaded", .faulty = true};
  }
  const auto usable = static_cast<int64_t>(torch::cuda::is_available() ? torch::cuda::device_count() : 0);
  if (usable == 0) {
    return {.obstacle = "LibTorch's CUDA can use none of the driver's; is the driver too old for it?",
            .faulty = true};
  }
  return {.usable = usable};
}

}  // namespace

const Gpus& gpus() {
  static const Gpus answer = ask();
  return answer;
}

void* detail::cuda_symbol(const char* name) {
  if (gpus().usable == 0) return nullptr;
  static void* const library = dlopen("libconsistency_cuda.so", RTLD_LAZY);
  return library == nullptr ? nullptr : dlsym(library, name);
}

}  // namespace cm
