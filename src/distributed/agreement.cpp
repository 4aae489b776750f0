#include "cm/distributed/agreement.h"

namespace cm {

bool Agreement::agreed(bool wish) {
  if (world_.size() == 1) return wish;
  bool answer = false;
  if (asked_) {
    asked_->wait();
    answer = wishes_.item<int64_t>() > 0;
  }
  wishes_ = torch::full({1}, wish ? 1 : 0, torch::kInt64);
  asked_ = world_.begin_all_reduce_sum(wishes_);
  return answer;
}

}  // namespace cm
