// What cm-edit is asked for, and which option belongs to which task.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/cli/command_line.h"
#include "cm/cli/compute_options.h"
#include "cm/cli/vae_options.h"
#include "cm/training/edit.h"
#include "cm/training/weight_choice.h"

namespace cm {

struct EditOptions : EditRequest {
  CommonOptions common = {};
  std::string checkpoint = "";
  WeightChoice weights = {};
  std::optional<std::string> input = std::nullopt;
  // inpaint: a picture, white = known, or x, y, w, h of the part to fill, in the model's pixels.
  std::optional<std::string> mask = std::nullopt;
  std::vector<uint64_t> box = {};
  std::optional<std::string> classes = std::nullopt;  // as class_labels reads them
  std::optional<int64_t> count = std::nullopt;        // results; the inputs are repeated in order
  int64_t batch = 64;
  ComputeOptions compute = {};
  VaeOptions vae = {};
  std::string out = "";
  bool write_float = false;
  bool write_pngs = false;
};

// InputError, all mistakes together, for options of another task, and for those that the task needs or that
// exclude one another. Values are not looked at.
void check_options(const EditOptions& options);

// "1,2,3" → {1, 2, 3}. InputError that names the option when it is not `count` whole numbers of at least 0.
std::vector<uint64_t> whole_numbers(const std::string& option, const std::string& text, size_t count);

}  // namespace cm
