// Numbers and lists on the command line; '|' stands between the arguments.
#include <CLI/CLI.hpp>

#include "cm/cli/command_line.h"
#include "cm/cli/edit_options.h"
#include "cm/cli/number_option.h"
#include "fuzz/fuzz_target.h"
#include "src/cli/class_labels.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> command_line_seeds() {
  return {"--sigmas|80,1.5e-1|--indices|0,022,39", "--num=064|--seed|18446744073709551615|--ema|0.9",
          "--box|1,2,3,4|--class|3,5|--sigmas=80,|2", "--class|all|--steps|-3"};
}

struct Numbers {
  int64_t num = 8;
  std::optional<int64_t> steps;
  std::optional<uint64_t> seed;
  std::optional<double> ema;
  std::vector<int64_t> indices;
  std::vector<double> sigmas;
  std::string box;
  std::optional<std::string> classes;
};

void look_at(const Numbers& numbers) {
  require(numbers.num >= 1 && numbers.num <= 1000, "a number is in its range");
  for (const int64_t index : numbers.indices) require(index >= 0 && index < 40, "so is each of a list");
  for (const double sigma : numbers.sigmas) require(sigma > 0 && std::isfinite(sigma), "and fractions");
  if (!numbers.box.empty())
    require(whole_numbers("--box", numbers.box, 4).size() == 4, "a box has four sides");
  const Tensor labels = class_labels(numbers.classes, 10, 3);
  require(labels.ge(0).logical_and(labels.lt(10)).all().item<bool>(), "labels are classes");
}

void read_command_line(const std::string& input) {
  CLI::App app("A fuzz target.", "fuzz");
  Numbers numbers;
  add_number_option(app, "--num", numbers.num, "how many", within(1, 1000));
  add_number_option(app, "--steps", numbers.steps, "steps", within(-9, 9));
  add_number_option(app, "--seed", numbers.seed, "seed");
  add_number_option(app, "--ema", numbers.ema, "rate", from_below(0, 1));
  add_number_option(app, "--indices", numbers.indices, "indices", within(0, 39));
  add_number_option(app, "--sigmas", numbers.sigmas, "levels", above(0));
  app.add_option("--box", numbers.box, "x,y,w,h");
  app.add_option("--class", numbers.classes, "classes");
  std::vector<const char*> arguments = {"fuzz"};
  const std::vector<std::string> words = pieces(input.substr(0, input.find('\0')), '|');
  for (const std::string& word : words) arguments.push_back(word.c_str());
  const auto body = [&] {
    look_at(numbers);
    return 0;
  };
  const int code = run_command(app, static_cast<int>(arguments.size()), arguments.data(), body);
  require(code != 1, "a command line is right, or a mistake of the user's");
  if (code == 2) throw InputError("refused");
}

const Listed kCommandLine({"command_line", command_line_seeds, read_command_line});

}  // namespace
}  // namespace cm::fuzz
