#include "src/metrics/whole_fp32.h"

#include <gtest/gtest.h>

#include <utility>

namespace cm {
namespace {

std::pair<bool, bool> tf32_of_cudnn_and_cublas() {
  return {at::globalContext().allowTF32CuDNN(), at::globalContext().allowTF32CuBLAS()};
}

TEST(WholeFp32, LastsAsLongAsItLives) {
  const WholeFp32 whatever_was_there;  // comes back in the end
  at::globalContext().setAllowTF32CuDNN(true);
  {
    const WholeFp32 whole;
    EXPECT_EQ(tf32_of_cudnn_and_cublas(), std::pair(false, false));
  }
  EXPECT_EQ(tf32_of_cudnn_and_cublas(), std::pair(true, false));
}

}  // namespace
}  // namespace cm
