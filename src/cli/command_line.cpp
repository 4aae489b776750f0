#include "cm/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/gpus.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/cli/number_option.h"
#include "cm/yaml/scalar.h"
#include "completion.h"

namespace cm {
namespace {

void add_option_names(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* subcommand : app.get_subcommands({})) add_option_names(*subcommand, names);
}

bool looks_like_an_option(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' && argument.find_first_of("0123456789.") != 1;
}

std::string on_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// CLI11 stops at its first complaint, and a misspelt required option makes that "--x is required": unknown
// options are the better explanation and come first.
std::vector<std::string> mistakes_of(const CLI::App& app, const CLI::ParseError& error) {
  std::vector<std::string> names;
  add_option_names(app, names);
  std::vector<std::string> mistakes;
  for (const auto& argument : app.remaining(true)) {
    if (!looks_like_an_option(argument)) continue;
    const std::string option = argument.substr(0, argument.find('='));
    mistakes.push_back(concat("unknown option ", option, did_you_mean(option, names), "; --help lists all"));
  }
  if (mistakes.empty()) mistakes.push_back(concat(on_one_line(error.what()), "; --help lists the options"));
  return mistakes;
}

// Whether the command is to run; --help has been answered otherwise.
bool parse(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& help) {
    app.exit(help);
    return false;
  } catch (const CLI::ParseError& error) {
    throw InputError(mistakes_of(app, error));
  }
}

}  // namespace

void add_common_options(CLI::App& app, CommonOptions& options) {
  app.add_option("--device", options.device, "cpu, cuda, cuda:N, or auto: CUDA if there is any")
      ->capture_default_str();
  add_number_option(app, "--seed", options.seed, "seed of all random draws");
  app.add_flag("--force", options.force, "write over an earlier output");
}

int run_command(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body) {
  return exit_code_of(app.get_name(), [&] {
    add_completion_option(app);
    return parse(app, argc, argv) ? body() : 0;
  });
}

torch::Device parse_device(const std::string& name, int64_t local_rank) {
  if (name == "cpu") return torch::Device(torch::kCPU);
  const bool unnumbered = name == "auto" || name == "cuda";
  int64_t index = -1;
  if (name.starts_with("cuda:")) index = parse_integer(name.substr(5)).value_or(-1);
  if (!unnumbered && index < 0) {
    throw InputError(concat("--device must be cpu, cuda, cuda:N or auto, got '", name, "'",
                            did_you_mean(name, {"cpu", "cuda", "auto"})));
  }
  const Gpus& there = gpus();
  if (there.usable == 0 && name == "auto") {
    if (there.faulty)
      log_warning(concat("--device auto is the CPU here, no GPU is usable: ", there.obstacle));
    return torch::Device(torch::kCPU);
  }
  if (there.usable == 0) {
    throw InputError(concat("--device ", name, ": this machine has 0 usable GPU(s): ", there.obstacle,
                            "; use cpu or auto"));
  }
  if (unnumbered) index = there.usable == 1 ? 0 : local_rank;
  if (index >= there.usable && unnumbered) {
    throw InputError(concat("process ", local_rank, " of this machine has no GPU, there are ", there.usable,
                            "; start no more processes than GPUs, or use --device cpu"));
  }
  if (index >= there.usable) {
    throw InputError(concat("--device ", name, ": this machine has ", there.usable,
                            " usable GPU(s); use a smaller number, cpu or auto"));
  }
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(index)};
}

}  // namespace cm
