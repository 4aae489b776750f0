// Times one job of one case.
#include <CLI/CLI.hpp>

#include "cm/base/limits.h"
#include "cm/bench/bench_command.h"
#include "cm/cli/command_line.h"
#include "cm/cli/number_option.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Times training steps, sampled batches or a cold start on random weights and images; its last line is "
      "one JSON object.",
      "cm-bench");
  cm::BenchCommand command;
  app.add_option("--job", command.job, "what is timed")
      ->type_name(cm::choices_of<cm::BenchJob>())
      ->required();
  app.add_option("--config", command.config, "the case, as bench/cases/cifar32.json")
      ->type_name("FILE")
      ->required();
  cm::add_number_option(app, "--threads", command.threads, "threads of the CPU",
                        cm::within(1, cm::kMostThreads));
  app.add_option("--device", command.device, "cpu, cuda, cuda:N or auto");
  app.add_option("--dtype", command.dtype, "what the network computes in")
      ->type_name(cm::choices_of<cm::ComputeType>());
  cm::add_number_option(app, "--batch", command.batch, "images of a training step or of a sampled batch",
                        cm::within(1, cm::kMostAtOnce));
  cm::add_number_option(app, "--steps", command.steps, "repeats that are measured",
                        cm::within(1, cm::kMostRepeats));
  cm::add_number_option(app, "--warmup", command.warmup, "repeats before them",
                        cm::within(0, cm::kMostRepeats));
  cm::add_number_option(app, "--max-seconds", command.max_seconds,
                        "no repeat begins after so long a measurement, but for the first three",
                        cm::above(0));
  app.add_flag("--cuda-graph", command.cuda_graph,
               "on a GPU: record a step or an evaluation once and play it for all others");
  app.add_option("--out", command.out, "the PNG that jobs cold_start and first_image write")
      ->type_name("FILE");
  app.add_option("--weights", command.weights, "the weights that job first_image reads")->type_name("FILE");
  app.add_flag("--operators", command.operators, "also show each operator's own processor time");
  app.add_flag("--shapes", command.shapes, "the same, by the sizes of the operators' tensors");
  return cm::run_command(app, argc, argv, [&] { return cm::run_bench_command(command); });
}
