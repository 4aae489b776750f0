#include "memory_dataset.h"

#include <utility>

namespace cm {

InMemoryDataset::InMemoryDataset(Tensor pixels, Tensor labels, int64_t classes)
    : pixels_(std::move(pixels)), labels_(std::move(labels)), classes_(classes) {
  TORCH_CHECK(
      pixels_.dim() == 4 && pixels_.scalar_type() == torch::kUInt8 && pixels_.size(2) == pixels_.size(3),
      "pixels must be uint8 [N, C, S, S]");
  TORCH_CHECK(labels_.defined() == (classes_ > 0), "labels and a number of classes go together");
  TORCH_CHECK(!labels_.defined() || (labels_.scalar_type() == torch::kInt64 && labels_.dim() == 1 &&
                                     labels_.size(0) == pixels_.size(0)),
              "labels must be int64 [N]");
  if (labels_.defined()) labels_ = labels_.contiguous();
}

Example InMemoryDataset::get(int64_t index) const {
  TORCH_CHECK(index >= 0 && index < size(), "index ", index, " of a dataset of ", size());
  return {pixels_.select(0, index), labels_.defined() ? labels_.const_data_ptr<int64_t>()[index] : 0};
}

}  // namespace cm
