#include "cm/kernels/device_graph.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/kernels/device_graph_cuda.h"

namespace cm {
namespace {

TEST(DeviceGraph, IsOfAGpu) {
  EXPECT_EQ(DeviceGraph::obstacle(torch::kCPU), "device cpu");
  EXPECT_THROW(DeviceGraph(torch::kCPU, [] {}), c10::Error);
}

// Run with a driver whose GPU cannot be used (kernels.DeviceGraph_of_a_driver), so that LibTorch's part for
// CUDA is loaded.
TEST(DeviceGraph, ItsLibraryIsWholeAndWhatFailsInItIsAnErrorHere) {
  if (dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD) == nullptr) GTEST_SKIP() << "no driver";
  void* const library = dlopen("libconsistency_cuda.so", RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  auto* const record = reinterpret_cast<decltype(cm_record_work)*>(dlsym(library, "cm_record_work"));
  ASSERT_NE(record, nullptr);
  bool ran = false;
  EXPECT_THROW(record({torch::kCUDA, 0}, [&] { ran = true; }), c10::Error);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace cm
