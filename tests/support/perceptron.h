// Three layers over (x, time), for data in the plane.
#pragma once

#include <vector>

#include "cm/nn/layers.h"

namespace cm::test {

class Perceptron {
 public:
  explicit Perceptron(torch::Dtype dtype = torch::kFloat32) {
    for (Linear layer : {first_, second_, third_}) layer->to(dtype);
  }

  // x [B, 2], time [B] → [B, 2].
  Tensor operator()(const Tensor& x, const Tensor& time) const {
    const Tensor input = torch::cat({x, time.unsqueeze(1) / 500}, 1);
    const Tensor hidden = torch::silu(second_->forward(torch::silu(first_->forward(input))));
    return third_->forward(hidden);
  }

  std::vector<Tensor> parameters() const {
    return {first_->weight, first_->bias, second_->weight, second_->bias, third_->weight, third_->bias};
  }

 private:
  Initializer initializer_{3};
  Linear first_{initializer_, 3, 64};
  Linear second_{initializer_, 64, 64};
  Linear third_{initializer_, 64, 2};
};

}  // namespace cm::test
