#include "cm/base/gpus.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace cm {
namespace {

bool is_loaded(const char* library) {
  return dlopen(library, RTLD_LAZY | RTLD_NOLOAD) != nullptr;
}

TEST(Gpus, WhyThereAreNoneIsSaid) {
  EXPECT_EQ(gpus().usable == 0, !gpus().obstacle.empty());
  EXPECT_FALSE(gpus().faulty && gpus().usable > 0);
}

TEST(Gpus, TheirGenerationsAreTheDrivers) {
  EXPECT_GE(static_cast<int64_t>(gpus().generations.size()), gpus().usable);
  for (const int generation : gpus().generations) EXPECT_GE(generation, 5);
  const char* const fake = std::getenv("CM_DRIVER_DEVICES");
  if (fake == nullptr) return;
  EXPECT_EQ(gpus().generations, std::vector<int>(std::stoul(fake), 9));
}

// Run with a driver that says it has a GPU as well (base.Gpus_of_a_driver).
TEST(Gpus, LibTorchKnowsCudaWhereItsPartIsLoaded) {
  const bool usable = gpus().usable > 0;
  const bool loaded = is_loaded("libtorch_cuda.so");
  EXPECT_TRUE(loaded || !usable);
  EXPECT_TRUE(!loaded || is_loaded("libcuda.so.1"));
  EXPECT_EQ(at::detail::getCUDAHooks().hasCUDART(), loaded);
}

TEST(Gpus, WhatNeedsOneIsNotLoadedWithout) {
  auto* const function = cuda_function<void()>("cm_record_work");
  EXPECT_EQ(function != nullptr, gpus().usable > 0 && is_loaded("libconsistency_cuda.so"));
  EXPECT_EQ(cuda_function<void()>("cm_no_such_function"), nullptr);
}

}  // namespace
}  // namespace cm
