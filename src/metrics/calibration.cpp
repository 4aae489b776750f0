#include "calibration.h"

#include <algorithm>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/kernels/normal.h"
#include "frechet.h"

namespace cm {
namespace {

constexpr int64_t kMaxValues = 4096;
constexpr int64_t kBlock = 4096;  // images drawn at a time

// Draws of the evaluation: step 0 for Gaussian images, 1 + i for split i.
RandomKey evaluation_key(uint64_t seed, int64_t step) {
  return {.seed = seed, .purpose = Purpose::evaluation, .step = static_cast<uint32_t>(step)};
}

}  // namespace

Tensor gaussian_images(const Tensor& pixels, int64_t count, uint64_t seed) {
  const int64_t values = pixels[0].numel();
  if (values > kMaxValues) {
    throw InputError(
        concat("the calibration needs the covariance of all pixels and so takes images of at most ",
               kMaxValues, " values, got ", values, "; leave it out"));
  }
  const auto moments = moments_of(from_uint8(pixels).flatten(1));
  const Tensor root = covariance_root(moments.covariance);
  std::vector<Tensor> images;
  for (int64_t first = 0; first < count; first += kBlock) {
    const auto samples = sample_range(first, std::min(kBlock, count - first));
    const Tensor noise =
        normal(evaluation_key(seed, 0), samples, {values}).to(root.device(), torch::kFloat64);
    images.push_back(to_uint8((moments.mean + noise.matmul(root.t())).to(torch::kFloat32)));
  }
  const Tensor all = torch::cat(images);
  return all.reshape({count, pixels.size(1), pixels.size(2), pixels.size(3)});
}

double frechet_floor(const Tensor& features, uint64_t seed) {
  const int64_t half = features.size(0) / 2;
  if (half < 2) {
    throw InputError(concat("the floor of the Fréchet distance needs at least 4 reference images, got ",
                            features.size(0)));
  }
  double sum = 0;
  for (int64_t split = 0; split < kFloorSplits; ++split) {
    const auto shuffled = permutation(evaluation_key(seed, 1 + split), features.size(0));
    const Tensor order = torch::tensor(shuffled, torch::kInt64).to(features.device());
    const auto part = [&](int64_t first) {
      return features.index_select(0, order.slice(0, first, first + half));
    };
    sum += frechet_distance(moments_of(part(0)), moments_of(part(half)));
  }
  return sum / static_cast<double>(kFloorSplits);
}

}  // namespace cm
