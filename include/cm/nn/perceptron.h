// A network for data of a few numbers, such as points in the plane: layers over x and features of the time.
#pragma once

#include "cm/nn/layers.h"
#include "cm/nn/network.h"

namespace cm {

struct PerceptronOptions {
  int64_t width = 128;
  int64_t hidden_layers = 3;
  bool second_time = false;
};

// x [B, C, H, W] as C·H·W numbers, beside the time t and cos(2^k t), sin(2^k t), k = 0…3; SiLU between the
// layers; of a second time s the same of t − s. A time of a few units is what it tells apart. It has no
// classes and drops nothing.
class Perceptron : public Network {
 public:
  // `seed` as make_unet's. c10::Error where the images have classes.
  Perceptron(const PerceptronOptions& options, const ImageSpec& image,
             std::optional<uint64_t> seed = std::nullopt);

  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& dropout_keys) override;
  bool takes_second_time() const override { return second_time_; }

 private:
  bool second_time_;
  std::vector<Linear> layers_;
};

}  // namespace cm
