#include "cm/bench/lpips_memory.h"

#include <gmock/gmock.h>

#include "cm/bench/measured_memory.h"
#include "cm/nn/lpips.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;

// One image, which its first convolution resizes to 224 × 224, and one that stays as it is.
TEST(LpipsMemory, IsWhatIsMeasured) {
  const Lpips lpips;
  for (const int64_t side : {16, 256}) {
    const Tensor a = torch::zeros({1, 3, side, side}).requires_grad_(true);
    const Tensor b = torch::zeros({1, 3, side, side});
    const PassMemory measured = measured_pass([&] { return lpips.forward(lpips_sized(a), lpips_sized(b)); });
    const NetworkSizes sizes = lpips_sizes(side);
    const PassMemory computed = pass_memory(sizes.segments, 4);
    EXPECT_EQ(sizes.parameters, parameter_count(lpips));
    EXPECT_NEAR(computed.kept / measured.kept, 1, 0.005) << side;
    EXPECT_THAT(computed.training_peak / measured.training_peak, AllOf(Ge(0.95), Le(1.05))) << side;
    EXPECT_THAT(computed.inference_peak / measured.inference_peak, AllOf(Ge(0.9), Le(1.1))) << side;
  }
}

}  // namespace
}  // namespace cm
