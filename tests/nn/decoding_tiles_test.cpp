#include "src/nn/decoding_tiles.h"

#include <gtest/gtest.h>

#include "support/closeness.h"

namespace cm {
namespace {

using test::largest_difference;

// A decoder that looks at one latent for each pixel.
Tensor pointwise_decoder(const Tensor& z) {
  return z.square().repeat_interleave(2, 2).repeat_interleave(2, 3);
}

TEST(DecodingTiles, ArePartsOfTheWholeWhereOneLatentIsAPixel) {
  for (const auto& size : {std::pair{8, 8}, {9, 8}, {8, 30}, {23, 17}, {3, 40}, {14, 14}}) {
    const Tensor z = torch::randn({2, 3, size.first, size.second});
    const Tensor tiled = decode_by_tiles(z, 8, pointwise_decoder);
    EXPECT_LT(largest_difference(tiled, pointwise_decoder(z)), 1e-6) << z.sizes();
  }
}

TEST(DecodingTiles, AreAllOfOneSizeAndShareAQuarter) {
  std::vector<int64_t> starts;
  const Tensor z = torch::arange(21).view({1, 1, 1, 21}).to(torch::kFloat32);
  decode_by_tiles(z, 8, [&](const Tensor& tile) {
    EXPECT_EQ(tile.size(3), 8);
    starts.push_back(static_cast<int64_t>(tile.flatten()[0].item<float>()));
    return tile;
  });
  EXPECT_EQ(starts, (std::vector<int64_t>{0, 6, 12, 13}));
}

// Every tile is its number everywhere: what is seen is how one goes into the next.
TEST(DecodingTiles, GoLinearlyIntoTheNext) {
  double number = 0;
  const Tensor joined = decode_by_tiles(torch::zeros({1, 1, 4, 7}), 4, [&](const Tensor& tile) {
    return torch::full({1, 1, 2 * tile.size(2), 2 * tile.size(3)}, number++);
  });
  const Tensor expected = torch::tensor({0., 0., 0., 0., 0., 0., 0., .5, 1., 1., 1., 1., 1., 1.});
  EXPECT_LT(largest_difference(joined[0][0][0], expected), 1e-6);
}

}  // namespace
}  // namespace cm
