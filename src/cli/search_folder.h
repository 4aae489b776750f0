// What a search of time points leaves on disk, and goes on from:
//
//   DIR/search.json        {"settings": {…}, "result": null, or what was found}
//   DIR/evaluations.jsonl  a line an evaluation, written as it is made:
//                          {"points": [0, 22], "sigmas": [80.0, 1.38], "value": 0.69, "seconds": 2.4}
//   DIR/search.png         when it is finished
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/files.h"
#include "cm/base/tensor.h"
#include "cm/io/json.h"
#include "cm/training/weight_choice.h"

namespace cm {

struct PointsEvaluation {
  std::vector<int64_t> points;  // indices of the grid
  std::vector<double> sigmas;
  double value = 0;  // of the metric
  double seconds = 0;
};

// InputError when `folder` is a file, holds something else, holds a search and is to be neither resumed nor
// overwritten, or is to be resumed and holds none.
void check_search_folder(const std::filesystem::path& folder, bool resume, bool force);

// A setting that is a path: {"path", "sha256"} of a file, which another file of the same content equals; the
// path alone of a folder, or of what is no path.
Json file_setting(const std::string& path);

// Weights as a setting: their file; of those that are made of snapshots what they are, and the newest.
Json weights_setting(const ResolvedWeights& weights);

class SearchFolder {
 public:
  // Starts a search with these settings in a folder that is made, or cleared of an earlier search; or resumes
  // one: InputError, with nothing touched, when that has other settings, naming those that differ. Lines of
  // evaluations.jsonl that were cut off by a crash are dropped. InputError too when another process searches
  // in the folder.
  SearchFolder(const std::filesystem::path& folder, const Json& settings, bool resume);

  // The value that was found along these points, if any.
  std::optional<double> value_of(const std::vector<int64_t>& points) const;
  void add(const PointsEvaluation& evaluation);
  int64_t evaluations() const { return static_cast<int64_t>(values_.size()); }

  // Writes the result and its picture, uint8 [3, H, W].
  void finish(const Json& result, const Tensor& picture);

 private:
  void write_record(const Json& result) const;
  void read_evaluations();

  std::filesystem::path folder_;
  std::optional<FolderLock> lock_;
  Json settings_;
  std::map<std::vector<int64_t>, double> values_;
  std::unique_ptr<FileWriter> lines_;
};

}  // namespace cm
