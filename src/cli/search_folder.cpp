#include "search_folder.h"

#include <sstream>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/file_digest.h"
#include "cm/io/image.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecord = "search.json";
constexpr const char* kEvaluations = "evaluations.jsonl";
constexpr const char* kPicture = "search.png";

bool has_text(const Json& object, const char* key) {
  return object.contains(key) && object.at(key).is_string();
}

bool is_file(const Json& setting) {
  return setting.is_object() && has_text(setting, "path") && has_text(setting, "sha256");
}

bool same_setting(const Json& a, const Json& b) {
  return is_file(a) && is_file(b) ? a.at("sha256") == b.at("sha256") : a == b;
}

std::string words_of(const Json& setting) {
  if (setting.is_null()) return "none";
  if (is_file(setting)) return setting.at("path").get<std::string>();
  return setting.is_string() ? setting.get<std::string>() : json_text(setting);
}

std::string difference(const std::string& key, const Json& before, const Json& now) {
  if (words_of(before) == words_of(now)) return concat(key, " ", words_of(now), " has changed since");
  return concat(key, " was ", words_of(before), ", not ", words_of(now));
}

Json read_settings(const fs::path& record) {
  const Json json = parse_json(read_file(record));
  if (!json.is_object() || !json.contains("settings") || !json.at("settings").is_object()) {
    throw InputError(concat(record.string(), ": is no record of a search; --force starts over"));
  }
  return json.at("settings");
}

void check_settings(const fs::path& folder, const Json& now) {
  const Json before = read_settings(folder / kRecord);
  std::vector<std::string> differences;
  for (const auto& [key, setting] : now.items()) {
    const Json old = before.contains(key) ? before.at(key) : Json(nullptr);
    if (!same_setting(old, setting)) differences.push_back(difference(key, old, setting));
  }
  if (differences.empty()) return;
  throw InputError(concat("--resume: ", folder.string(),
                          " was searched with other settings: ", join(differences, "; "),
                          "; repeat them, name another --out, or --force starts over"));
}

// The points and value of a line that is whole.
std::optional<std::pair<std::vector<int64_t>, double>> evaluation_of(const std::string& line) {
  const Json json = parse_json(line);
  if (!json.is_object() || !json.contains("points") || !json.contains("value")) return std::nullopt;
  std::vector<int64_t> points;
  double value = 0;
  try {
    set_from_json(json.at("points"), "points", points);
    set_from_json(json.at("value"), "value", value);
  } catch (const InputError&) {
    return std::nullopt;
  }
  return std::pair(points, value);
}

}  // namespace

void check_search_folder(const fs::path& folder, bool resume, bool force) {
  const std::string out = folder.string();
  if (fs::exists(folder) && !fs::is_directory(folder)) {
    throw InputError(concat("--out ", out, ": is a file; name a folder"));
  }
  const bool holds_search = fs::exists(folder / kRecord);
  if (resume && !holds_search) {
    throw InputError(concat("--resume: ", out, " holds no search; start one without --resume"));
  }
  if (resume || !fs::exists(folder) || holds_nothing(folder)) return;
  if (!holds_search) {
    throw InputError(concat("--out ", out, ": is not empty and holds no search; name another folder"));
  }
  if (!force) {
    throw InputError(
        concat("--out ", out,
               ": holds a search already; --resume continues it, --force starts over and deletes it"));
  }
}

Json file_setting(const std::string& path) {
  if (!fs::is_regular_file(path)) return path;
  return {{"path", path}, {"sha256", sha256_of(path)}};
}

Json weights_setting(const ResolvedWeights& weights) {
  if (!weights.made) return file_setting(weights.file.string());
  Json setting = file_setting(weights.made->snapshots.back().file.string());
  setting["ema_std"] = *weights.made->state.power_std;
  return setting;
}

SearchFolder::SearchFolder(const fs::path& folder, const Json& settings, bool resume)
    : folder_(folder), settings_(parse_json(json_text(settings))) {  // as the record will have them
  if (resume) check_settings(folder_, settings_);
  fs::create_directories(folder_);
  lock_.emplace(folder_);
  remove_unfinished(folder_);
  if (resume) {
    read_evaluations();
  } else {
    for (const char* name : {kPicture, kEvaluations}) fs::remove(folder_ / name);
    write_record(nullptr);
  }
  lines_ = std::make_unique<FileWriter>(folder_ / kEvaluations, FileWriter::Mode::append);
}

std::optional<double> SearchFolder::value_of(const std::vector<int64_t>& points) const {
  const auto found = values_.find(points);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

void SearchFolder::add(const PointsEvaluation& evaluation) {
  const Json line = {{"points", evaluation.points},
                     {"sigmas", evaluation.sigmas},
                     {"value", evaluation.value},
                     {"seconds", evaluation.seconds}};
  lines_->write(json_text(line) + "\n");
  lines_->sync();
  values_[evaluation.points] = evaluation.value;
}

void SearchFolder::finish(const Json& result, const Tensor& picture) {
  write_png(folder_ / kPicture, picture);
  write_record(result);
}

void SearchFolder::write_record(const Json& result) const {
  const Json record = {{"settings", settings_}, {"result", result}};
  write_file_atomically(folder_ / kRecord, json_text(record, 2) + "\n");
}

void SearchFolder::read_evaluations() {
  const fs::path path = folder_ / kEvaluations;
  if (!fs::exists(path)) return;
  std::istringstream lines(read_file(path));
  std::string whole;
  for (std::string line; std::getline(lines, line);) {
    if (const auto evaluation = evaluation_of(line)) {
      values_.insert(*evaluation);
      whole += line + "\n";
    }
  }
  write_file_atomically(path, whole);
}

}  // namespace cm
