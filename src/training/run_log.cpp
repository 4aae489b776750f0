#include "cm/training/run_log.h"

#include <iomanip>
#include <sstream>

#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/training/run_files.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

void drop_lines_after(const fs::path& path, int64_t step) {
  if (!fs::exists(path)) return;
  std::istringstream lines(read_file(path));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto json = metrics_line(line);
    if (json && json->at("step") <= step) kept += line + "\n";
  }
  write_file_atomically(path, kept);
}

fs::path folder_of_events(const fs::path& run) {
  const fs::path folder = run / kRunEvents;
  fs::create_directories(folder);
  return folder;
}

}  // namespace

std::optional<Json> metrics_line(const std::string& text) {
  Json json = parse_json(text);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return std::nullopt;
  return json;
}

RunLog::RunLog(const fs::path& run, int64_t step) : run_(run), events_(folder_of_events(run), step) {
  const fs::path path = run / kRunMetrics;
  drop_lines_after(path, step);
  lines_ = std::make_unique<FileWriter>(path, FileWriter::Mode::append);
}

void RunLog::metrics(const Json& metrics) {
  lines_->write(json_text(metrics) + "\n");
  const auto step = metrics.at("step").get<int64_t>();
  for (const auto& [key, value] : metrics.items()) {
    if (key != "step" && value.is_number()) events_.scalar(concat("train/", key), value.get<double>(), step);
  }
}

void RunLog::samples(const Tensor& picture, int64_t step) {
  std::error_code seen_when_writing;
  fs::create_directory(run_ / kRunSamples, seen_when_writing);
  write_png(run_ / kRunSamples / concat("step-", std::setw(8), std::setfill('0'), step, ".png"), picture);
  events_.image("samples", picture, step);
}

}  // namespace cm
