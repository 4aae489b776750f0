// What a training step of each config holds and sends, computed from sizes; and, with --measure, what the
// same takes on this machine's CPU. docs/scaling.md shows its tables.
//
//   build/bin/cm-step-memory [CONFIG.yaml…] [KEY=VALUE…] [--card-gb 80] [--reserve-gb 4] [--ranks 8 64]
//   build/bin/cm-step-memory --measure CONFIG.yaml|CASE.json… [--batch 2]
//
// and with torchrun --nproc-per-node=2 --no-python before it --measure CASE.json… [--shard optimizer].
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <set>

#include "cm/base/limits.h"
#include "cm/bench/lpips_memory.h"
#include "cm/bench/measured_memory.h"
#include "cm/bench/step_memory.h"
#include "cm/cli/command_line.h"
#include "cm/cli/number_option.h"
#include "step_memory_config.h"

namespace {

using cm::NamedConfig;
using cm::Shard;
using cm::StepMemory;
using cm::StepSetup;

constexpr double kMega = 1e6;
constexpr double kGiga = 1e9;

struct StepMemoryArguments {
  std::vector<std::string> configs;
  std::vector<std::string> measured;
  double card_gb = 80;
  double reserve_gb = 4;
  int64_t classes = 1000;
  int64_t batch = 2;
  std::vector<int64_t> ranks = {8, 64};
  std::vector<double> links_gb = {450, 50};
  std::string kernels = "fused";
  std::string shard = "none";
};

// One of each network and set of networks in configs/; cat256 is as bedroom256.
const std::vector<std::string> kPublished = {
    "cifar10/edm",      "cifar10/cd",     "cifar10/ict",   "cifar10/sct",
    "cifar10/scd",      "imagenet64/edm", "imagenet64/cd", "imagenet64/ct",
    "bedroom256/edm",   "bedroom256/cd",  "bedroom256/ct", "imagenet256/mean_flow_xl2",
    "imagenet512/edm2", "imagenet512/sct"};

std::string amount(double value, double unit, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value / unit;
  return text.str();
}
std::string gb(double bytes) {
  if (bytes == 0) return "0";
  return amount(bytes, kGiga, bytes < kGiga ? 2 : 1);
}
std::string mb(double bytes) {
  return amount(bytes, kMega, bytes < 10 * kMega ? 2 : 0);
}

void print_row(const std::vector<std::string>& cells) {
  std::cout << "| " << cm::join(cells, " | ") << " |\n";
}

void print_head(const std::string& title, const std::vector<std::string>& columns) {
  std::cout << "\n" << title << "\n\n";
  print_row(columns);
  std::cout << "|" << [&] {
    std::string rule;
    for (size_t i = 0; i < columns.size(); ++i) rule += "---|";
    return rule;
  }() << "\n";
}

struct Switches {
  std::string name;
  int64_t computed_bytes;
  bool recomputed;
};

const std::vector<Switches> kSwitches = {
    {"fp32", 4, false}, {"fp32, recomputed", 4, true}, {"bf16", 2, false}, {"bf16, recomputed", 2, true}};

StepSetup setup_of(const NamedConfig& named, const Switches& switches) {
  StepSetup setup = cm::step_setup(named.config, named.image);
  setup.computed_bytes = switches.computed_bytes;
  common_options(setup.network).activation_checkpointing = switches.recomputed;
  return setup;
}

StepMemory memory_of(const NamedConfig& named, const Switches& switches,
                     cm::Kernels kernels = cm::Kernels::fused) {
  StepSetup setup = setup_of(named, switches);
  setup.kernels = kernels;
  return cm::step_memory(setup);
}

void print_state(const std::vector<NamedConfig>& configs) {
  print_head("State of a rank in fp32, GB (computed):",
             {"config", "parameters", "weights, gradients, moments", "target", "teacher", "averages", "LPIPS",
              "together", "together in bf16"});
  for (const NamedConfig& named : configs) {
    const StepMemory memory = memory_of(named, kSwitches[0]);
    print_row({named.name, cm::human_count(memory.parameters),
               gb(memory.weights + memory.gradients + memory.moments), gb(memory.target), gb(memory.teacher),
               gb(memory.averages), gb(memory.lpips), gb(memory.state()),
               gb(memory_of(named, kSwitches[2]).state())});
  }
}

// State of a rank and, in bold, images of a pass that fit beside it, by what is cut.
void print_parts(const std::vector<NamedConfig>& configs, const StepMemoryArguments& arguments) {
  std::vector<std::string> columns = {"config", "one rank"};
  constexpr std::array kCut = {Shard::optimizer, Shard::gradients};
  for (const int64_t ranks : arguments.ranks) {
    for (const Shard shard : kCut) columns.push_back(cm::concat(to_string(shard), ", ", ranks, " ranks"));
  }
  print_head(cm::concat("State of a rank where state is cut (train.shard), GB, and the images of a pass that "
                        "fit beside it into ",
                        arguments.card_gb, " GB less ", arguments.reserve_gb, " (computed):"),
             columns);
  for (const NamedConfig& named : configs) {
    for (const Switches& switches : {kSwitches[0], kSwitches[2]}) {
      const auto cell = [&](Shard shard, int64_t ranks) {
        StepSetup setup = setup_of(named, switches);
        setup.shard = shard;
        setup.ranks = ranks;
        const StepMemory memory = cm::step_memory(setup);
        return cm::concat(gb(memory.state()), ", **",
                          memory.largest_batch((arguments.card_gb - arguments.reserve_gb) * kGiga), "**");
      };
      std::vector<std::string> row = {cm::concat(named.name, ", ", switches.name), cell(Shard::none, 1)};
      for (const int64_t ranks : arguments.ranks) {
        for (const Shard shard : kCut) row.push_back(cell(shard, ranks));
      }
      print_row(row);
    }
  }
}

void print_batches(const std::vector<NamedConfig>& configs, const StepMemoryArguments& arguments,
                   cm::Kernels kernels) {
  std::vector<std::string> columns = {"config"};
  for (const Switches& switches : kSwitches) columns.push_back(switches.name);
  print_head(cm::concat("MB an image, and the images of a pass that fit into ", arguments.card_gb,
                        " GB less ", arguments.reserve_gb, " (computed, kernels: ", arguments.kernels, "):"),
             columns);
  for (const NamedConfig& named : configs) {
    std::vector<std::string> row = {named.name};
    for (const Switches& switches : kSwitches) {
      const StepMemory memory = memory_of(named, switches, kernels);
      const auto fitting = memory.largest_batch((arguments.card_gb - arguments.reserve_gb) * kGiga);
      row.push_back(cm::concat(mb(memory.peak_of_image), ", **", fitting, "**"));
    }
    print_row(row);
  }
}

// The first config of each network; dropout keeps masks, LPIPS its own.
std::vector<NamedConfig> distinct(const std::vector<NamedConfig>& configs) {
  std::vector<NamedConfig> found;
  std::set<std::pair<double, double>> seen;
  for (const NamedConfig& named : configs) {
    const StepMemory memory = memory_of(named, kSwitches[0]);
    if (seen.emplace(memory.kept_of_image, memory.lpips).second) found.push_back(named);
  }
  return found;
}

void print_kernels(const std::vector<NamedConfig>& configs) {
  print_head(
      "MB an image that the network keeps for its backward pass (computed):",
      {"config", "fp32, operators", "fp32, fused", "bf16, fused", "bf16, fused, recomputed", "LPIPS on top"});
  for (const NamedConfig& named : configs) {
    StepSetup setup = cm::step_setup(named.config, named.image);
    const auto kept = [&](cm::Kernels kernels, int64_t bytes, bool recomputed) {
      common_options(setup.network).activation_checkpointing = recomputed;
      return mb(cm::pass_memory(cm::sizes_of(setup.network, setup.image, kernels).segments, bytes).kept);
    };
    const double lpips = cm::pass_memory(cm::lpips_sizes(named.image.size).segments, 4).kept;
    print_row({named.name, kept(cm::Kernels::operators, 4, false), kept(cm::Kernels::fused, 4, false),
               kept(cm::Kernels::fused, 2, false), kept(cm::Kernels::fused, 2, true),
               setup.lpips ? mb(lpips) : ""});
  }
}

void print_communication(const std::vector<NamedConfig>& configs, const StepMemoryArguments& arguments) {
  std::vector<std::string> columns = {"config", "once, at the start, GB"};
  for (const int64_t ranks : arguments.ranks) {
    columns.push_back(cm::concat(ranks, " ranks, GB a step"));
    for (const double link : arguments.links_gb) columns.push_back(cm::concat("ms at ", link, " GB/s"));
  }
  print_head("Sent by each rank (computed):", columns);
  for (const NamedConfig& named : configs) {
    const StepMemory memory = memory_of(named, kSwitches[0]);
    const cm::TrainOptions& train = named.config.train;
    std::vector<std::string> row = {named.name, gb(cm::broadcast_bytes(memory, train.shard))};
    for (const int64_t ranks : arguments.ranks) {
      const int64_t micro = train.micro_batch_size.value_or(train.batch_size) * ranks;  // of all ranks
      const int64_t passes = (train.batch_size + micro - 1) / micro;
      const double bytes = cm::step_bytes(memory.parameters, ranks, train.shard, passes);
      row.push_back(gb(bytes));
      for (const double link : arguments.links_gb) row.push_back(amount(bytes / (link * kGiga), 1e-3, 1));
    }
    print_row(row);
  }
}

std::string beside(double measured, double computed) {
  return cm::concat(mb(measured), ", ", mb(computed), " (", amount(computed / measured, 1, 3), ")");
}

// Of one image: the difference between twice the batch and the batch.
void measure_network(const NamedConfig& named, int64_t batch) {
  const auto network = cm::make_network(*named.config.model, named.image);
  const bool dropout = common_options(*named.config.model).dropout > 0;
  const auto once = cm::measured_network(*network, named.image, batch, dropout);
  const auto twice = cm::measured_network(*network, named.image, 2 * batch, dropout);
  const auto sizes = cm::sizes_of(*named.config.model, named.image, cm::Kernels::fused);
  const auto computed = cm::pass_memory(sizes.segments, 4);
  const auto images = static_cast<double>(batch);
  print_row(
      {named.name + (common_options(*named.config.model).activation_checkpointing ? ", recomputed" : ""),
       beside((twice.kept - once.kept) / images, computed.kept),
       beside((twice.training_peak - once.training_peak) / images, computed.training_peak),
       beside((twice.inference_peak - once.inference_peak) / images, computed.inference_peak)});
}

// Those to be measured that are configs (.yaml) or cases (.json).
std::vector<std::string> measured_of(const StepMemoryArguments& arguments, std::string_view suffix) {
  std::vector<std::string> found;
  std::ranges::copy_if(arguments.measured, std::back_inserter(found),
                       [&](const std::string& path) { return path.ends_with(suffix); });
  return found;
}

void measure_networks(const StepMemoryArguments& arguments) {
  const auto configs = measured_of(arguments, ".yaml");
  if (configs.empty()) return;
  print_head(cm::concat("MB an image, measured and computed (", arguments.batch, " and ", 2 * arguments.batch,
                        " images, fp32, CPU):"),
             {"config", "kept", "peak of forward and backward pass", "peak of a pass without backward"});
  for (const std::string& path : configs) {
    NamedConfig named = cm::read_named_config(path, arguments.classes);
    for (const bool recomputed : {false, true}) {
      common_options(*named.config.model).activation_checkpointing = recomputed;
      measure_network(named, arguments.batch);
    }
  }
}

void measure_step(const cm::BenchCase& bench_case, cm::ObjectiveKind objective, const cm::World& world,
                  Shard shard) {
  const auto model = cm::model_options_of(bench_case, cm::Parameterization::edm);
  cm::RunConfig config;
  config.objective = objective;
  config.model = model.network;
  config.train.shard = shard;
  StepSetup setup = cm::step_setup(config, model.image);
  setup.ranks = world.size();
  const StepMemory computed = cm::step_memory(setup);
  const cm::MeasuredStep measured = cm::measured_step(bench_case, objective, world, shard);
  if (!world.is_first()) return;
  // One alone has its gradients in the step only, several have them, or their parts, from the beginning.
  const double later = computed.under_way + (world.size() == 1 ? computed.gradients : 0);
  print_row({bench_case.name, to_string(objective), cm::concat(bench_case.batch),
             beside(measured.state, computed.state() - later),
             beside(measured.peak, computed.total(bench_case.batch)), mb(computed.gradients)});
}

void measure_steps(const StepMemoryArguments& arguments, const cm::World& world, Shard shard) {
  const auto cases = measured_of(arguments, ".json");
  if (cases.empty()) return;
  const std::string of =
      world.size() == 1 ? "" : cm::concat(", of one of ", world.size(), " ranks, shard ", arguments.shard);
  if (world.is_first()) {
    print_head(cm::concat("MB of a training step, measured and computed (fp32, CPU", of, "):"),
               {"case", "objective", "images", "state before the step", "peak", "of it gradients, computed"});
  }
  for (const std::string& path : cases) {
    for (const auto objective :
         {cm::kObjective<cm::EdmOptions>, cm::kObjective<cm::CdOptions>, cm::kObjective<cm::CtOptions>}) {
      measure_step(cm::read_bench_case(path), objective, world, shard);
    }
  }
}

bool is_override(const std::string& word) {
  return word.find('=') != std::string::npos;
}

void compute(const StepMemoryArguments& arguments) {
  const auto kernels = cm::named_option<cm::Kernels>("--kernels", arguments.kernels);
  std::vector<NamedConfig> configs;
  std::vector<std::string> overrides;
  std::ranges::copy_if(arguments.configs, std::back_inserter(overrides), is_override);
  for (const std::string& word : arguments.configs) {
    if (!is_override(word)) configs.push_back(cm::read_named_config(word, arguments.classes, overrides));
  }
  print_state(configs);
  print_parts(configs, arguments);
  print_batches(configs, arguments, kernels);
  print_kernels(distinct(configs));
  print_communication(configs, arguments);
}

// Before anything is printed.
void check_measured(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (!std::filesystem::exists(path)) throw cm::InputError(cm::concat(path, ": no such file"));
    if (!path.ends_with(".yaml") && !path.ends_with(".json")) {
      throw cm::InputError(cm::concat(path, ": --measure takes configs (.yaml) and cases (.json)"));
    }
  }
}

int step_memory(StepMemoryArguments& arguments) {
  check_measured(arguments.measured);
  const auto shard = cm::named_option<Shard>("--shard", arguments.shard);
  const cm::World world = cm::connect(cm::launch_of_this_process(), torch::kCPU);
  if (!arguments.measured.empty()) {
    if (world.is_first()) measure_networks(arguments);
    measure_steps(arguments, world, shard);
    return 0;
  }
  if (!world.is_first()) return 0;
  if (std::ranges::all_of(arguments.configs, is_override)) {
    for (const std::string& name : kPublished) arguments.configs.push_back("configs/" + name + ".yaml");
  }
  compute(arguments);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Memory and communication of a training step; prints Markdown tables.", "cm-step-memory");
  StepMemoryArguments arguments;
  app.add_option("configs", arguments.configs,
                 "configs, and overrides of all of them (model.channels=448); default: those of published "
                 "networks, in configs/");
  app.add_option("--measure", arguments.measured,
                 "instead: passes of these configs' networks and training steps of these cases "
                 "(bench/cases), on the CPU, measured beside computed");
  app.add_option(
         "--shard", arguments.shard,
         "of measured steps of several processes, as torchrun starts them: none, optimizer or gradients")
      ->capture_default_str();
  cm::add_number_option(app, "--batch", arguments.batch, "images of a measured pass",
                        cm::within(1, cm::kMostAtOnce))
      ->capture_default_str();
  cm::add_number_option(app, "--card-gb", arguments.card_gb, "memory of a GPU, 10^9 bytes",
                        cm::within(1, 1e6))
      ->capture_default_str();
  cm::add_number_option(app, "--reserve-gb", arguments.reserve_gb,
                        "of it for CUDA itself, workspaces and fragments of the allocator",
                        cm::within(0, 1e6))
      ->capture_default_str();
  app.add_option("--kernels", arguments.kernels, "of the images that fit: fused or operators")
      ->capture_default_str();
  cm::add_number_option(app, "--classes", arguments.classes, "classes of image folders with labels",
                        cm::within(1, cm::kMostClasses))
      ->capture_default_str();
  cm::add_number_option(app, "--ranks", arguments.ranks, "numbers of ranks", cm::within(1, cm::kMostAtOnce))
      ->capture_default_str();
  cm::add_number_option(app, "--links-gb", arguments.links_gb, "10^9 bytes that a rank sends a second",
                        cm::within(1e-3, 1e6))
      ->capture_default_str();
  return cm::run_command(app, argc, argv, [&] { return step_memory(arguments); });
}
