#include "cm/data/pairs.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/io/json.h"
#include "cm/io/safetensors.h"
#include "kinds.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPairFiles = "pairs";
constexpr const char* kSetKey = "pairs";
constexpr const char* kMakerKey = "made_by";
constexpr const char* kSetKeys = "count, channels, image_size, classes and sigma_max";
constexpr std::string_view kPairsPath = "a folder of pairs, which cm-sample --pairs makes";

fs::path pair_path(const fs::path& folder, int64_t index) {
  return set_file_path(folder, kPairFiles, index);
}

Metadata metadata_of(const PairSet& set) {
  return {{kSetKey, json_text(json_of(set))}, {kMakerKey, set.made_by}};
}

template <class... Parts>
[[noreturn]] void reject_pairs(const fs::path& path, const Parts&... parts) {
  throw InputError(concat(path.string(), ": ", parts...));
}

PairSet set_in(const fs::path& path, const Metadata& metadata) {
  const Json json = parse_json(metadata_at(metadata, kSetKey));
  if (!json.is_object()) {
    reject_pairs(path, "its metadata say of no set of pairs (key ", kSetKey, ", an object with ", kSetKeys,
                 "); make pairs by cm-sample --pairs");
  }
  PairSet set{.made_by = metadata_at(metadata, kMakerKey)};
  set_from_json(json, concat(path.string(), ": ", kSetKey), set);
  if (set.count == 0 || set.channels == 0 || set.image_size == 0 || set.sigma_max == 0) {
    reject_pairs(path, kSetKey, " in its metadata must have ", kSetKeys, ", got ", json_text(json));
  }
  return set;
}

// The tensor, of n rows of the given shape where it has as many rows as x_T.
TensorInfo tensor_in(const fs::path& path, const SafetensorsHeader& header, const std::string& name,
                     const std::string& dtype, const std::vector<int64_t>& shape) {
  const auto found = header.tensors.find(name);
  if (found == header.tensors.end()) reject_pairs(path, "has no tensor ", name);
  if (found->second.dtype != dtype || found->second.shape != shape) {
    reject_pairs(path, name, " is ", found->second.dtype, ' ', at::IntArrayRef(found->second.shape),
                 ", expected ", dtype, ' ', at::IntArrayRef(shape), " of this set");
  }
  return found->second;
}

int64_t rows_in(const SafetensorsHeader& header) {
  const auto found = header.tensors.find("x_T");
  return found == header.tensors.end() || found->second.shape.empty() ? 0 : found->second.shape[0];
}

void read_numbers(std::ifstream& in, const fs::path& path, int64_t from, void* to, int64_t bytes) {
  in.seekg(from);
  in.read(static_cast<char*>(to), bytes);
  if (!in) reject_pairs(path, "could not be read; it may have been replaced since the run began");
}

}  // namespace

std::vector<SetFile> files_of(const PairSet& set, const fs::path& folder) {
  const int64_t bytes = 2 * set.channels * set.image_size * set.image_size * int64_t{sizeof(float)};
  return set_files(folder, kPairFiles, set.count, bytes);
}

void save_pairs(const SetFile& file, const PairSet& set, const Tensor& x_T, const Tensor& x,
                const Tensor& labels) {
  TORCH_CHECK(x_T.size(0) == file.count && x_T.sizes() == x.sizes() && x.scalar_type() == torch::kFloat32 &&
                  labels.defined() == (set.classes > 0),
              "no pairs of this file");
  NamedTensors tensors = {{"x_T", x_T}, {"x", x}};
  if (labels.defined()) tensors["labels"] = labels;
  save_safetensors(file.path, tensors, metadata_of(set));
}

std::vector<fs::path> pair_files_in(const fs::path& folder) {
  return set_files_in(folder, kPairFiles);
}

void refuse_other_pairs(const fs::path& folder, const PairSet& set) {
  for (const fs::path& path : pair_files_in(folder)) {
    if (metadata_of(set_in(path, read_safetensors_header(path).metadata)) == metadata_of(set)) continue;
    reject_pairs(path,
                 "holds pairs that were made otherwise; name another folder, or start over with --force");
  }
}

PairDataset::PairDataset(const fs::path& folder, bool labels) {
  std::error_code ignored;
  int64_t found = 0;
  for (int64_t index = 0; fs::exists(pair_path(folder, index), ignored); ++index) {
    found += open(pair_path(folder, index), found, labels);
  }
  if (files_.empty()) {
    reject_pairs(folder, "has no ", pair_path("", 0).string(), "; data.path must be ", kPairsPath);
  }
  if (found != set_.count) {
    reject_pairs(folder, "has ", found, " of ", set_.count,
                 " pairs; the cm-sample that made them, once more, makes the others");
  }
  if (!labels) set_.classes = 0;
}

int64_t PairDataset::open(const fs::path& path, int64_t first, bool labels) {
  const SafetensorsHeader header = read_safetensors_header(path);
  const PairSet set = set_in(path, header.metadata);
  if (files_.empty()) set_ = set;
  if (metadata_of(set) != metadata_of(set_)) {
    reject_pairs(path, "holds pairs of another set than ", files_.front().path.filename().string(),
                 " beside it; keep each set in a folder of its own");
  }
  const int64_t rows = rows_in(header);
  const std::vector<int64_t> shape = {rows, set_.channels, set_.image_size, set_.image_size};
  const int64_t starts_at = tensor_in(path, header, "x_T", "F32", shape).offset;
  files_.push_back({path, first, starts_at, tensor_in(path, header, "x", "F32", shape).offset});
  if (set_.classes == 0) return rows;
  const int64_t labels_from = tensor_in(path, header, "labels", "I64", {rows}).offset;
  if (!labels) return rows;
  labels_.resize(static_cast<size_t>(first + rows));
  int64_t* const to = labels_.data() + first;
  std::ifstream in = open_for_reading(path);
  read_numbers(in, path, labels_from, to, rows * int64_t{sizeof(int64_t)});
  const auto wrong =
      std::find_if(to, to + rows, [&](int64_t label) { return label < 0 || label >= set_.classes; });
  if (wrong != to + rows) {
    reject_pairs(path, "labels has class ", *wrong, ", expected 0 to ", set_.classes - 1);
  }
  return rows;
}

Example PairDataset::get(int64_t index) const {
  TORCH_CHECK(!set_.latents, "latents are no pictures");
  const Tensor x = torch::empty({1, channels(), image_size(), image_size()});
  const Tensor x_T = torch::empty_like(x);
  const int64_t label = read(index, x_T.data_ptr<float>(), x.data_ptr<float>());
  return {to_uint8(x)[0], label};
}

int64_t PairDataset::read(int64_t index, float* x_T, float* x) const {
  TORCH_CHECK(index >= 0 && index < size(), "index ", index, " of ", size(), " pairs");
  const auto& file = *std::prev(std::ranges::upper_bound(files_, index, {}, &File::first));
  const int64_t bytes = values() * int64_t{sizeof(float)};
  const int64_t from = (index - file.first) * bytes;
  std::ifstream in = open_for_reading(file.path);
  read_numbers(in, file.path, file.starts_at + from, x_T, bytes);
  read_numbers(in, file.path, file.images_at + from, x, bytes);
  return labels_.empty() ? 0 : labels_[static_cast<size_t>(index)];
}

DataKind pairs_kind() {
  return {.name = kPairsKind.name,
          .help = "noise and what a diffusion model makes of it, for objective kd",
          .data_path = kPairsPath,
          .open = [](const DataOptions& options) -> std::unique_ptr<Dataset> {
            return std::make_unique<PairDataset>(options.path, options.labels);
          }};
}

}  // namespace cm
