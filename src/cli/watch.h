// A run's progress while it goes, for cm-info --watch.
#pragma once

#include <filesystem>

namespace cm {

// Shows the run's state again every second: on a terminal in place, elsewhere as a line now and then. Returns
// 0 when the run has finished, or on SIGINT or SIGTERM. InputError when `run` is no run.
int watch_run(const std::filesystem::path& run);

}  // namespace cm
