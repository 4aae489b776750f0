// This program started anew, and timed.
#pragma once

#include <string>
#include <vector>

namespace cm {

struct ChildTimes {
  double first_output_ms = 0;  // from its start to its first byte on stdout
  double cpu_ms = 0;           // processor time of its whole life
  double peak_rss_mb = 0;
};

// Runs this executable with `arguments` to its end. Error when it fails or says nothing.
ChildTimes run_self(const std::vector<std::string>& arguments);

}  // namespace cm
