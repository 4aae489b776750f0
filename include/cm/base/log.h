// Lines for people on stderr, with the time of day. stdout is kept for results that other programs read.
#pragma once

#include <string>

namespace cm {

void log_info(const std::string& line);
void log_warning(const std::string& line);

// No line appears from here on: of several processes that do the same, one speaks.
void silence_log();

}  // namespace cm
