#include "src/bench/matmul_peak.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

TEST(MatmulPeak, IsAPlausibleRate) {
  const MatmulPeak peak = measure_matmul_peak(torch::kCPU, torch::kFloat32, 0.1);
  EXPECT_GT(peak.gflops_per_second, 0.5);
  EXPECT_LT(peak.gflops_per_second, 1e5);
  EXPECT_GE(peak.size, 512);
}

}  // namespace
}  // namespace cm
