#include "cm/cli/average_command.h"

#include <filesystem>
#include <iostream>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/training/power_snapshots.h"

namespace cm {
namespace {

void check_average_file(const AverageCommand& command) {
  const std::filesystem::path out = command.out;
  if (out.extension() != ".safetensors") {
    throw InputError(concat("--out ", command.out, ": must be the name of a .safetensors file"));
  }
  if (std::filesystem::is_directory(out) || (std::filesystem::exists(out) && !command.force)) {
    throw InputError(
        concat("--out ", command.out, ": is there already; name another file, or write over it by --force"));
  }
  if (out.has_parent_path()) std::filesystem::create_directories(out.parent_path());
}

}  // namespace

int run_average_command(const AverageCommand& command) {
  const PowerAverage made = power_average(command.run, command.std, command.at);
  check_average_file(command);
  save_weights(command.out, made.weights.options, made.weights.weights, made.state);
  std::cout << "the average of σ_rel " << shortest(command.std) << " after step " << made.step << ", of "
            << made.snapshots << " snapshots to " << significant(100 * made.error, 2) << " %: " << command.out
            << '\n';
  return 0;
}

}  // namespace cm
