#include "watch.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cm/base/clock.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/training/interrupt.h"
#include "cm/training/run_files.h"
#include "run_state.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int kMillisecondsBetweenLooks = 1000;
constexpr double kSecondsBetweenPlainLines = 10;
constexpr size_t kUsualColumns = 80;
constexpr size_t kLabelColumns = 12;
constexpr size_t kMostCurveColumns = 60;

size_t terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsualColumns;
}

// The first `columns` characters of UTF-8: a longer line would take two rows, and the next drawing miss one.
std::string cut_to(const std::string& line, size_t columns) {
  size_t characters = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(line[i]) & 0xC0U) != 0x80U;
    if (begins && ++characters > columns) return line.substr(0, i);
  }
  return line;
}

// The state's lines, over those of the last drawing.
class Screen {
 public:
  void draw(const RunState& state) {
    const size_t columns = terminal_columns();
    const size_t curve = std::clamp<size_t>(columns, kLabelColumns + 1, kLabelColumns + kMostCurveColumns);
    std::string text = "\r";
    if (rows_ > 0) text += concat("\x1b[", rows_, "A");
    text += "\x1b[J";
    const auto lines = lines_of(state, curve - kLabelColumns);
    for (const auto& line : lines) text += cut_to(line, columns) + "\n";
    rows_ = lines.size();
    std::cout << text << std::flush;
  }

 private:
  size_t rows_ = 0;
};

// A line for each piece of news, none within ten seconds of another but for the first and the last.
class PlainLines {
 public:
  void show(const RunState& state) {
    const int64_t step = state.last ? state.last->step : 0;
    const double now = seconds_now();
    const bool due = step != shown_ && now - last_ >= kSecondsBetweenPlainLines;
    if (!due && !state.finished && shown_ >= 0) return;
    shown_ = step;
    last_ = now;
    std::cout << one_line_of(state) << std::endl;
  }

 private:
  int64_t shown_ = -1;
  double last_ = 0;
};

void check_is_run(const fs::path& run) {
  if (!fs::exists(run)) throw InputError(concat(run.string(), ": no such file or folder"));
  if (!is_run(run)) {
    throw InputError(concat(
        run.string(), ": holds no run, which --watch needs; name the folder that a trainer's --out names"));
  }
}

}  // namespace

int watch_run(const fs::path& run) {
  check_is_run(run);
  const InterruptGuard interrupt;
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  MetricsFile metrics(run / kRunMetrics);
  Screen screen;
  PlainLines plain;
  while (!interrupt.requested()) {
    metrics.refresh();
    const RunState state = run_state(run, metrics);
    terminal ? screen.draw(state) : plain.show(state);
    if (state.finished) break;
    poll(nullptr, 0, kMillisecondsBetweenLooks);  // a signal ends it
  }
  return 0;
}

}  // namespace cm
