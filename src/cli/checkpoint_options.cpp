#include "cm/cli/checkpoint_options.h"

#include <CLI/CLI.hpp>

#include "cm/base/text.h"
#include "cm/cli/number_option.h"

namespace cm {
namespace {

// `Number`: double, or several of them, of which `as` shows some.
template <class Number>
CLI::Option* add_averages(CLI::App& app, Number& ema, Number& ema_std, const std::string& as,
                          const std::string& as_std) {
  auto* by_rate = add_number_option(app, "--ema", ema,
                                    concat("which evaluation average of a run", as,
                                           "; 0: the trained weights; default: the slowest whose start "
                                           "weighs at most 1 %"),
                                    from_below(0, 1));
  return add_number_option(app, "--ema-std", ema_std,
                           concat("or σ_rel of its average by a power function", as_std,
                                  ", made of the snapshots where the run did not track it"),
                           kPowerStds)
      ->excludes(by_rate);
}

}  // namespace

void add_checkpoint_options(CLI::App& app, std::string& checkpoint, WeightChoice& choice) {
  app.add_option("--checkpoint", checkpoint, "a weight file, a checkpoint folder or a run")
      ->type_name("FILE")
      ->required();
  add_averages(app, choice.ema, choice.ema_std, "", "");
}

void add_average_options(CLI::App& app, std::vector<double>& ema, std::vector<double>& ema_std,
                         CLI::Option* checkpoints) {
  add_averages(app, ema, ema_std, ", or several, as 0.999,0.9999", ", or several, as 0.05,0.1");
  for (const char* name : {"--ema", "--ema-std"}) app.get_option(name)->needs(checkpoints);
}

}  // namespace cm
