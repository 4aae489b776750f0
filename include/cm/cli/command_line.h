// The frame of every executable: declare options, then
//
//   CLI::App app("What it does.", "cm-thing");
//   CommonOptions common;
//   add_common_options(app, common);
//   return run_command(app, argc, argv, [&] { …; return 0; });
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cm/base/error.h"
#include "cm/base/fields.h"
#include "cm/base/text.h"

namespace CLI {
class App;
}

namespace cm {

// What every executable accepts.
struct CommonOptions {
  std::string device = "auto";
  std::optional<uint64_t> seed;
  bool force = false;
};

// Declares --device, --seed and --force.
void add_common_options(CLI::App& app, CommonOptions& options);

// Parses the arguments, runs `body`, and returns the exit code: 0 for --help and success, 2 for a mistake of
// the user's, 1 for a failure at run time; each mistake is one line on stderr. An unknown option is answered
// with the nearest one.
int run_command(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body);

// The enum value with this name; InputError with the nearest one otherwise.
template <NamedEnum E>
E named_option(const std::string& option, const std::string& name) {
  if (const auto value = from_name<E>(name)) return *value;
  throw InputError(concat(option, " must be one of {", join(all_names<E>()), "}, got '", name, "'",
                          did_you_mean(name, all_names<E>())));
}

// "{a,b}", the type name of an option with these values: --help shows it, and shells complete by it.
template <NamedEnum E>
std::string choices_of() {
  return concat("{", join(all_names<E>(), ","), "}");
}

// "cpu", "cuda", "cuda:N", or "auto": CUDA if this machine has it. Of several processes on a machine, number
// `local_rank` gets the GPU of that number by "cuda" and "auto", or the only one that its launcher lets it
// see. InputError for other words, for CUDA where there is none and for a GPU that isn't there.
torch::Device parse_device(const std::string& name, int64_t local_rank = 0);

}  // namespace cm
