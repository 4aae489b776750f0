// The body of cm-evaluate: metrics of images, or of what checkpoints make.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cm/cli/command_line.h"
#include "cm/cli/reference_options.h"
#include "cm/cli/sample_set.h"
#include "cm/metrics/evaluate.h"

namespace cm {

struct EvaluateCommand {
  CommonOptions common;
  // One of both: images that load_images reads, or what is to be sampled.
  std::optional<std::string> samples;
  std::vector<std::string> checkpoints;
  // Averages of each checkpoint, of one of both kinds; none: the one that resolve_weights chooses.
  std::vector<double> ema;
  std::vector<double> ema_std;
  // 50,000, as in the literature; `batch` is that of the features, too.
  SampleSetOptions sampling = {
      .request = {}, .count = 50000, .classes = {}, .batch = 64, .quantization = Quantization::nearest};
  ReferenceOptions reference;        // an empty path: none
  std::vector<std::string> metrics;  // by name; none: the Fréchet distance
  bool calibrate = false;
  bool extrapolate = false;
  std::optional<std::string> statistics;  // file to save them in
  std::optional<std::string> plot;        // folder for METRIC.png (src/cli/evaluation_report.h)
  bool json = false;
  bool dry_run = false;
};

// Prints a report (cm/metrics/report.h) of one set of images; of several checkpoints or averages, one after
// another, a table (src/cli/evaluation_report.h), or a JSON object whose "evaluations" are their reports.
// Samples are measured as they are made and never written. Returns 0. InputError for mistakes in the command,
// before anything is computed or written.
int run_evaluate_command(const EvaluateCommand& command);

}  // namespace cm
