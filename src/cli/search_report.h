// What a search of time points says: a table for the terminal, a chart.
#pragma once

#include <string>
#include <vector>

#include "cm/diffusion/ternary_search.h"
#include "cm/io/chart.h"

namespace cm {

struct SearchReport {
  std::string metric;                   // "frechet"
  std::string basis;                    // what its values rest on: "1000 samples, pixels"
  std::vector<double> levels;           // σ by index
  std::vector<SearchedPoint> searches;  // not empty
};

// The time points that were found, σ_max first.
std::vector<double> found_sigmas(const SearchReport& report);

// For each step what was tried, a star at the choice; ends with a new line.
std::string table_of(const SearchReport& report);

// The metric over σ: a curve a step, its choice marked.
Chart chart_of(const SearchReport& report);

// "80,1.38": as --sigmas of cm-sample reads it, exactly.
std::string list_of(const std::vector<double>& sigmas);

}  // namespace cm
