// Event files that TensorBoard reads: TFRecords of tensorflow.Event messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "cm/base/tensor.h"

namespace cm {

// Appends scalars and images to one event file, `folder`/events.out.tfevents.<seconds>.<host>. A resumed run
// opens a new file in the same folder, as TensorBoard expects, and says after which step it goes on:
// TensorBoard forgets what earlier files hold of later steps. Each call writes a whole record. Throws Error
// when the disk fails.
class TensorBoardWriter {
 public:
  explicit TensorBoardWriter(const std::filesystem::path& folder, int64_t after_step = 0);
  ~TensorBoardWriter();

  void scalar(const std::string& tag, double value, int64_t step);
  // uint8 [C, H, W].
  void image(const std::string& tag, const Tensor& pixels, int64_t step);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cm
