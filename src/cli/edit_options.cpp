#include "cm/cli/edit_options.h"

#include <algorithm>
#include <sstream>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/yaml/scalar.h"

namespace cm {
namespace {

struct Option {
  std::string name;
  bool given;
  std::vector<EditTask> tasks;  // that it belongs to
};

std::vector<EditTask> every_task_but(EditTask excluded) {
  std::vector<EditTask> tasks;
  for (const auto& entry : EnumNames<EditTask>::names) {
    if (entry.value != excluded) tasks.push_back(entry.value);
  }
  return tasks;
}

std::vector<Option> options_of_some_tasks(const EditOptions& o) {
  return {{"--input", o.input.has_value(), every_task_but(EditTask::interpolate)},
          {"--mask", o.mask.has_value(), {EditTask::inpaint}},
          {"--box", !o.box.empty(), {EditTask::inpaint}},
          {"--factor", o.factor.has_value(), {EditTask::superres}},
          {"--sigma", o.sigma.has_value(), {EditTask::stroke, EditTask::denoise}},
          {"--add-noise", o.add_noise, {EditTask::denoise}},
          {"--seeds", !o.seeds.empty(), {EditTask::interpolate}},
          {"--seed", o.common.seed.has_value(), every_task_but(EditTask::interpolate)},
          {"--sampler", o.sampler.has_value(), {EditTask::stroke, EditTask::interpolate}},
          {"--steps", o.steps.has_value(), every_task_but(EditTask::denoise)},
          {"--sigmas", !o.sigmas.empty(), every_task_but(EditTask::denoise)}};
}

std::string named(const std::vector<EditTask>& tasks) {
  std::vector<std::string> names;
  for (const EditTask task : tasks) names.push_back(to_string(task));
  return join(names);
}

// What the task lacks or has twice; "" when nothing.
std::string mistake_of_task(const EditOptions& o) {
  switch (o.task) {
    case EditTask::inpaint:
      if (o.mask.has_value() == !o.box.empty()) {
        return "inpaint needs either --mask FILE (white = known) or --box x,y,w,h (the part to fill)";
      }
      return "";
    case EditTask::superres:
      return o.factor ? "" : "superres needs --factor P, how many times larger the result is";
    case EditTask::denoise:
      if (!o.sigma) return "denoise needs --sigma S, the noise level that the input has";
      return o.noise && !o.add_noise ? "denoise draws nothing, so --noise has no use without --add-noise"
                                     : "";
    case EditTask::stroke:
      return o.sigma || !o.sigmas.empty() ? "" : "stroke needs --sigma S, the noise level to start from";
    case EditTask::interpolate:
      return o.noise.has_value() == !o.seeds.empty()
                 ? "interpolate needs either --seeds A,B or --noise FILE with two starts"
                 : "";
    case EditTask::colorize:
      return "";
  }
  TORCH_INTERNAL_ASSERT(false, "not a task");
}

}  // namespace

void check_options(const EditOptions& options) {
  std::vector<std::string> mistakes;
  for (const auto& [name, given, tasks] : options_of_some_tasks(options)) {
    if (given && std::ranges::find(tasks, options.task) == tasks.end()) {
      mistakes.push_back(
          concat(name, " is an option of ", named(tasks), ", not of ", to_string(options.task)));
    }
  }
  if (options.task != EditTask::interpolate && !options.input) {
    mistakes.push_back(concat(to_string(options.task), " needs --input FILE|DIR, the pictures to edit"));
  }
  if (const std::string mistake = mistake_of_task(options); !mistake.empty()) mistakes.push_back(mistake);
  if (options.steps && !options.sigmas.empty()) {
    mistakes.emplace_back("--steps and --sigmas exclude one another; give one");
  }
  if (!mistakes.empty()) throw InputError(mistakes);
}

std::vector<uint64_t> whole_numbers(const std::string& option, const std::string& text, size_t count) {
  std::vector<uint64_t> numbers;
  std::istringstream words(text + ",");
  for (std::string word; std::getline(words, word, ',');) {
    const auto number = parse_unsigned(word);
    if (!number) break;
    numbers.push_back(*number);
  }
  const auto commas = static_cast<size_t>(std::ranges::count(text, ','));
  if (numbers.size() != count || commas + 1 != count) {
    throw InputError(
        concat(option, " takes ", count, " whole numbers with commas between, got '", text, "'"));
  }
  return numbers;
}

}  // namespace cm
