// What a run reports while it goes: metrics.jsonl, TensorBoard events and sample pictures under its folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cm/base/files.h"
#include "cm/base/tensor.h"
#include "cm/io/json.h"
#include "cm/io/tensorboard.h"

namespace cm {

// A line of metrics.jsonl; nullopt for what is none, as the end of a file that is being written.
std::optional<Json> metrics_line(const std::string& text);

class RunLog {
 public:
  // Continues the log of `run` after `step`: lines and events of later steps, written before a crash, are
  // dropped.
  RunLog(const std::filesystem::path& run, int64_t step);

  // Appends one line of metrics, and every number in it as a scalar. `metrics` is a flat object with a
  // "step".
  void metrics(const Json& metrics);

  // Writes uint8 [C, H, W] as samples/step-<step>.png and as a TensorBoard image.
  void samples(const Tensor& picture, int64_t step);

 private:
  std::filesystem::path run_;
  std::unique_ptr<FileWriter> lines_;
  TensorBoardWriter events_;
};

}  // namespace cm
