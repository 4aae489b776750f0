#include "metrics_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

#include "cm/training/run_log.h"

namespace cm {
namespace {

constexpr int64_t kAtOnce = 1 << 20;     // bytes that are read whole
constexpr int64_t kLastBytes = 1 << 18;  // of more, those at the end that are read whole
constexpr int64_t kBlock = 1 << 12;      // bytes of each sample before
constexpr int64_t kSamples = 128;

double number_or_nan(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>()
                                                   : std::numeric_limits<double>::quiet_NaN();
}

std::string bytes_of(std::ifstream& file, int64_t first, int64_t last) {
  std::string text(static_cast<size_t>(last - first), '\0');
  file.clear();
  file.seekg(first);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// From after the first line's end to the last one's: of a piece that begins and ends anywhere, the whole
// lines.
std::string whole_lines(const std::string& piece) {
  const size_t first = piece.find('\n');
  const size_t last = piece.rfind('\n');
  return first == last ? "" : piece.substr(first + 1, last - first);
}

}  // namespace

void MetricsFile::add_lines(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto json = metrics_line(line);
    if (!json) continue;
    const auto step = json->at("step").get<int64_t>();
    while (!lines_.empty() && lines_.back().step >= step) lines_.pop_back();  // the run went on from before
    lines_.push_back({step, number_or_nan(*json, "loss"), number_or_nan(*json, "images_per_second")});
  }
}

void MetricsFile::read(std::ifstream& file, int64_t first, int64_t last) {
  if (last - first <= kAtOnce) {
    add_lines(bytes_of(file, first, last));
    return;
  }
  const int64_t tail = last - kLastBytes;
  for (int64_t i = 0; i < kSamples; ++i) {
    const int64_t begin = first + (tail - first) / kSamples * i;
    add_lines(whole_lines(bytes_of(file, begin, begin + kBlock)));
  }
  add_lines(whole_lines(bytes_of(file, tail, last)));
}

void MetricsFile::refresh() {
  struct stat now {};
  const bool there = stat(path_.c_str(), &now) == 0;
  if (!there || now.st_ino != inode_ || now.st_size < read_) *this = MetricsFile(path_);
  if (!there || now.st_size == read_) return;
  inode_ = now.st_ino;
  std::ifstream file(path_, std::ios::binary);
  const std::string end = bytes_of(file, std::max(read_, now.st_size - kBlock), now.st_size);
  const size_t newline = end.rfind('\n');
  if (newline == std::string::npos) return;
  const int64_t last = now.st_size - static_cast<int64_t>(end.size() - newline - 1);
  read(file, read_, last);
  read_ = last;
}

}  // namespace cm
