// What cm-edit is asked for, and which option belongs to which task.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/cli/command_line.h"
#include "cm/cli/compute_options.h"

namespace cm {

enum class EditTask {
  inpaint,      // fill what a mask or box leaves free
  colorize,     // colours for a given luma
  superres,     // details for given patch means
  stroke,       // a picture that resembles the given one (SDEdit)
  denoise,      // one evaluation at the picture's own noise level
  interpolate,  // between the starts of two seeds
};
template <>
struct EnumNames<EditTask> {
  static constexpr std::array names = {
      EnumName{EditTask::inpaint, "inpaint"},   EnumName{EditTask::colorize, "colorize"},
      EnumName{EditTask::superres, "superres"}, EnumName{EditTask::stroke, "stroke"},
      EnumName{EditTask::denoise, "denoise"},   EnumName{EditTask::interpolate, "interpolate"}};
};

struct EditOptions {
  EditTask task = EditTask::inpaint;
  CommonOptions common = {};
  std::string checkpoint = "";
  std::optional<double> ema = std::nullopt;
  std::optional<std::string> input = std::nullopt;
  // inpaint: a picture, white = known, or x, y, w, h of the part to fill, in the model's pixels.
  std::optional<std::string> mask = std::nullopt;
  std::vector<uint64_t> box = {};
  std::optional<int64_t> factor = std::nullopt;  // of super-resolution
  // The noise level to start from (stroke), or that the input has (denoise), put into it first if asked for.
  std::optional<double> sigma = std::nullopt;
  bool add_noise = false;
  std::vector<uint64_t> seeds = {};  // the two ends of an interpolation
  // Evaluations, or their time points.
  std::optional<int64_t> steps = std::nullopt;
  std::vector<double> sigmas = {};
  std::optional<std::string> classes = std::nullopt;  // as class_labels reads them
  double guidance = 1;                                // towards them
  std::optional<int64_t> count = std::nullopt;        // results; the inputs are repeated in order
  int64_t batch = 64;
  ComputeOptions compute = {};
  std::string out = "";
  std::optional<std::string> noise = std::nullopt;  // a file that Replay reads
  bool write_float = false;
  bool write_pngs = false;
};

// InputError, all mistakes together, for options of another task, and for those that the task needs or that
// exclude one another. Values are not looked at.
void check_options(const EditOptions& options);

// "1,2,3" → {1, 2, 3}. InputError that names the option when it is not `count` whole numbers of at least 0.
std::vector<uint64_t> whole_numbers(const std::string& option, const std::string& text, size_t count);

}  // namespace cm
