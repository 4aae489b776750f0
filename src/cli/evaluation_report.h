// What several evaluations say together: a table for the terminal, charts.
#pragma once

#include <string>
#include <vector>

#include "cm/io/chart.h"
#include "cm/io/json.h"

namespace cm {

// The reports (cm/metrics/report.h) have the same scores. Where the samples come from a checkpoint, "samples"
// has "run", "step" and "ema" (the rate, or null for other weights) too, and of averages by power functions
// "ema_std", their σ_rel.

// A line a report, in their order; ends with a new line.
std::string table_of(const std::vector<Json>& reports);

// One score over training steps: a curve for each run and average. Where the reports are of averages of
// several σ_rel, over these instead: a curve for each run and step, its best point marked (EDM2, Figure 5).
// All reports have "step".
Chart chart_of(const std::vector<Json>& reports, const std::string& score);

}  // namespace cm
