#include "cm/base/gpus.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cm {
namespace {

bool is_loaded(const char* library) {
  return dlopen(library, RTLD_LAZY | RTLD_NOLOAD) != nullptr;
}

TEST(Gpus, WhyThereAreNoneIsSaid) {
  EXPECT_EQ(gpus().usable == 0, !gpus().obstacle.empty());
  EXPECT_FALSE(gpus().faulty && gpus().usable > 0);
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
