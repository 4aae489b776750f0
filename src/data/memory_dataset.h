// A dataset that is one tensor in memory.
#pragma once

#include "cm/data/dataset.h"

namespace cm {

class InMemoryDataset final : public Dataset {
 public:
  // `pixels`: uint8 [N, C, S, S]. `labels`: int64 [N] in [0, classes), or undefined together with `classes`
  // 0.
  InMemoryDataset(Tensor pixels, Tensor labels, int64_t classes);

  int64_t size() const override { return pixels_.size(0); }
  int64_t channels() const override { return pixels_.size(1); }
  int64_t image_size() const override { return pixels_.size(2); }
  int64_t classes() const override { return classes_; }
  Example get(int64_t index) const override;

 private:
  Tensor pixels_;
  Tensor labels_;
  int64_t classes_;
};

}  // namespace cm
