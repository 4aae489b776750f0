// A run's metrics.jsonl, read while the run writes it; of a file of any size, in bounded time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace cm {

struct MetricsLine {
  int64_t step = 0;
  double loss = 0;               // NaN where it was not finite
  double images_per_second = 0;  // NaN where it is not told
};

class MetricsFile {
 public:
  explicit MetricsFile(std::filesystem::path path) : path_(std::move(path)) {}

  // Reads what was written since the last call, or everything where a resumed run cut the file back. Of more
  // than a MiB at once, lines at even distances and all of the last. A line that isn't whole yet waits.
  void refresh();

  // In ascending order of their steps; empty for a file that isn't there.
  const std::vector<MetricsLine>& lines() const { return lines_; }

 private:
  void add_lines(const std::string& text);
  void read(std::ifstream& file, int64_t first, int64_t last);

  std::filesystem::path path_;
  std::vector<MetricsLine> lines_;
  uint64_t inode_ = 0;
  int64_t read_ = 0;  // bytes, up to the end of a line
};

}  // namespace cm
