// A classifier file whose answers are known: it averages nothing and learns nothing, but copies one pixel.
#pragma once

#include <filesystem>

#include "cm/io/safetensors.h"
#include "cm/metrics/image_set.h"

namespace cm::test {

inline constexpr ImageShape kTiny = {1, 2, 2};

// For images of that shape: conv1 passes a pixel p ∈ [−1, 1] on as relu(p), conv2 (stride 2) keeps the top
// left one, the hidden layer gives (p, 2 p) and the logits (0.5, p). So the class is 1 if the top left pixel
// is above 0.5.
inline SafetensorsFile one_pixel_classifier() {
  const auto pick = [](const std::vector<int64_t>& shape) {
    Tensor kernel = torch::zeros(shape);
    kernel.index_put_({0, 0, 1, 1}, 1.0);
    return kernel;
  };
  return {.tensors = {{"conv1.weight", pick({1, 1, 3, 3})},
                      {"conv1.bias", torch::zeros({1})},
                      {"conv2.weight", pick({1, 1, 3, 3})},
                      {"conv2.bias", torch::zeros({1})},
                      {"hidden.weight", torch::tensor({{1.0F}, {2.0F}})},
                      {"hidden.bias", torch::zeros({2})},
                      {"logits.weight", torch::tensor({{0.0F, 0.0F}, {1.0F, 0.0F}})},
                      {"logits.bias", torch::tensor({0.5F, 0.0F})}},
          .metadata = {{"kind", "digit_classifier"},
                       {"channels", "1"},
                       {"image_size", "2"},
                       {"hidden", "2"},
                       {"classes", "2"}}};
}

inline void save(const SafetensorsFile& file, const std::filesystem::path& path) {
  save_safetensors(path, file.tensors, file.metadata);
}

}  // namespace cm::test
