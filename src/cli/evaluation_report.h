// What several evaluations say together: a table for the terminal, charts over training.
#pragma once

#include <string>
#include <vector>

#include "cm/io/chart.h"
#include "cm/io/json.h"

namespace cm {

// The reports (cm/metrics/report.h) have the same scores. Where the samples come from a checkpoint, "samples"
// has "run", "step" and "ema" (the rate, or null for the trained weights) too.

// A line a report, in their order; ends with a new line.
std::string table_of(const std::vector<Json>& reports);

// One score over training steps: a curve for each run and average. All reports have "step".
Chart chart_over_training(const std::vector<Json>& reports, const std::string& score);

}  // namespace cm
