// Lines for people on stderr, with the time of day. stdout is kept for results that other programs read.
#pragma once

#include <string>

namespace cm {

void log_info(const std::string& line);
void log_warning(const std::string& line);

}  // namespace cm
