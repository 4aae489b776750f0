#include "cm/cli/average_command.h"

#include <filesystem>
#include <iostream>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/training/power_snapshots.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

void check_average_file(const AverageCommand& command) {
  const fs::path out = command.out;
  if (out.extension() != ".safetensors") {
    throw InputError(concat("--out ", command.out, ": must be the name of a .safetensors file"));
  }
  if (fs::is_directory(out)) throw InputError(concat("--out ", command.out, ": is a folder; name a file"));
  refuse_to_replace(out, command.force);
}

}  // namespace

int run_average_command(const AverageCommand& command) {
  check_average_file(command);
  const PowerAverage made = power_average(command.run, command.std, command.at);
  create_folder_of(command.out);
  const WeightFile file = made_weights(made);
  save_weights(command.out, file.options, file.weights, made.state);
  std::cout << "the average of σ_rel " << shortest(command.std) << " after step " << made.step << ", of "
            << made.snapshots.size() << " snapshots to " << percent(made.error) << ": " << command.out
            << '\n';
  return 0;
}

}  // namespace cm
