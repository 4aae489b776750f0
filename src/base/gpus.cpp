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
constexpr int kCapabilityMajor = 75;

std::string name_of(void* driver, int result) {
  const auto name = reinterpret_cast<int (*)(int, const char**)>(dlsym(driver, "cuGetErrorName"));
  const char* said = nullptr;
  if (name != nullptr && name(result, &said) == kSuccess && said != nullptr) return said;
  return concat("error ", result);
}

// 0 where the driver does not say.
int generation_of(void* driver, int index) {
  const auto device_of = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
  const auto attribute = reinterpret_cast<int (*)(int*, int, int)>(dlsym(driver, "cuDeviceGetAttribute"));
  int device = 0;
  int generation = 0;
  const bool known = device_of != nullptr && attribute != nullptr && device_of(&device, index) == kSuccess &&
                     attribute(&generation, kCapabilityMajor, device) == kSuccess;
  return known ? generation : 0;
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
  Gpus found{.usable = count};
  for (int i = 0; i < count; ++i) found.generations.push_back(generation_of(driver, i));
  return found;
}

Gpus ask() {
  Gpus found = of_the_driver();
  if (found.usable == 0) return found;
  const auto unusable = [&](std::string obstacle) {
    return Gpus{.obstacle = std::move(obstacle), .faulty = true, .generations = found.generations};
  };
  if (dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_GLOBAL) == nullptr) {
    return unusable(concat("LibTorch's part for CUDA could not be loaded: ", dlerror()));
  }
  if (!at::detail::getCUDAHooks().hasCUDART()) {
    return unusable("LibTorch was asked for GPUs before its part for CUDA was loaded");
  }
  found.usable = static_cast<int64_t>(torch::cuda::is_available() ? torch::cuda::device_count() : 0);
  if (found.usable == 0) {
    return unusable("LibTorch's CUDA can use none of the driver's; is the driver too old for it?");
  }
  return found;
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
