#include "cm/io/safetensors.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "named_dtype.h"
#include "raw_tensor.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kHeaderAlignment = 8;
constexpr uint64_t kLargestHeader = 100'000'000;  // the limit of the format's own library
constexpr const char* kMetadataKey = "__metadata__";

constexpr std::array kSafetensorsDtypes = {
    NamedDtype{torch::kFloat64, "F64"}, NamedDtype{torch::kFloat32, "F32"},
    NamedDtype{torch::kFloat16, "F16"}, NamedDtype{torch::kBFloat16, "BF16"},
    NamedDtype{torch::kInt64, "I64"},   NamedDtype{torch::kInt32, "I32"},
    NamedDtype{torch::kInt16, "I16"},   NamedDtype{torch::kInt8, "I8"},
    NamedDtype{torch::kUInt8, "U8"},    NamedDtype{torch::kBool, "BOOL"},
};

struct Entry {
  std::string name;
  NamedDtype dtype;
  std::vector<int64_t> shape;
  int64_t begin;  // bytes from the start of the data
  int64_t end;
};

struct Layout {
  std::vector<Entry> entries;  // in the order of their data
  Metadata metadata;
  uint64_t data_start;  // bytes from the start of the file
};

template <class... Parts>
[[noreturn]] void reject(const fs::path& path, const Parts&... parts) {
  throw InputError(concat(path.string(), ": ", parts...));
}

Json parse_header(const fs::path& path, const std::string& text) {
  Json header = parse_json(text);
  if (!header.is_object()) {
    reject(path, "not a safetensors file: its header is not a JSON object (of at most 10,000 tensors)");
  }
  return header;
}

Metadata parse_metadata(const fs::path& path, const Json& json) {
  Metadata metadata;
  if (!json.is_object()) reject(path, kMetadataKey, " must be an object of strings, got ", json_text(json));
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) reject(path, kMetadataKey, ".", key, " must be a string, got ", json_text(value));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

NamedDtype parse_dtype(const fs::path& path, const std::string& name, const Json& json) {
  std::vector<std::string> names;
  for (const NamedDtype& dtype : kSafetensorsDtypes) {
    if (json == dtype.name) return dtype;
    names.emplace_back(dtype.name);
  }
  reject(path, "tensor ", name, " has dtype ", json_text(json), "; expected one of {", join(names), "}");
}

std::vector<int64_t> parse_integers(const fs::path& path, const std::string& name, const char* key,
                                    const Json& json) {
  std::vector<int64_t> integers;
  const auto fits = [](const Json& j) { return j.is_number_unsigned() && j.get<uint64_t>() <= INT64_MAX; };
  if (!json.is_array() || !std::all_of(json.begin(), json.end(), fits)) {
    reject(path, "tensor ", name, ": ", key, " must be a list of integers of at least 0, got ",
           json_text(json));
  }
  for (const auto& element : json) integers.push_back(element.get<int64_t>());
  return integers;
}

Entry parse_entry(const fs::path& path, const std::string& name, const Json& json) {
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!json.is_object() || !json.contains(key)) reject(path, "tensor ", name, " has no ", key);
  }
  const NamedDtype dtype = parse_dtype(path, name, json.at("dtype"));
  const auto shape = parse_integers(path, name, "shape", json.at("shape"));
  const auto offsets = parse_integers(path, name, "data_offsets", json.at("data_offsets"));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    reject(path, "tensor ", name, ": data_offsets must be [begin, end], got ",
           json_text(json.at("data_offsets")));
  }
  if (byte_count(shape, dtype.type) != offsets[1] - offsets[0]) {
    reject(path, "tensor ", name, " of dtype ", dtype.name, " and shape ", json_text(json.at("shape")),
           " does not fit its ", offsets[1] - offsets[0], " bytes");
  }
  return {name, dtype, shape, offsets[0], offsets[1]};
}

// The tensors must fill the data exactly, one after another; sorts them in that order.
void check_offsets(const fs::path& path, std::vector<Entry>& entries, int64_t data_bytes) {
  const auto by_place = [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  };
  std::sort(entries.begin(), entries.end(), by_place);
  int64_t end = 0;
  for (const Entry& entry : entries) {
    if (entry.begin < end) reject(path, "tensor ", entry.name, " overlaps the tensor before it");
    if (entry.begin > end) reject(path, "the bytes before tensor ", entry.name, " belong to no tensor");
    end = entry.end;
  }
  if (end > data_bytes) {
    reject(path, "truncated: its header describes ", end, " bytes of tensors, but only ", data_bytes,
           " follow; copy or download it again");
  }
  if (end < data_bytes) reject(path, data_bytes - end, " bytes after the last tensor belong to no tensor");
}

Layout read_layout(const fs::path& path, std::ifstream& in) {
  const uint64_t file_bytes = fs::file_size(path);
  if (file_bytes < kLengthBytes) reject(path, "not a safetensors file: it has only ", file_bytes, " bytes");
  uint64_t header_bytes = 0;
  in.read(reinterpret_cast<char*>(&header_bytes), kLengthBytes);
  if (header_bytes > kLargestHeader) {
    reject(path, "not a safetensors file: it begins with a header length of ", header_bytes,
           " bytes; at most ", kLargestHeader, " are allowed");
  }
  if (header_bytes > file_bytes - kLengthBytes) {
    reject(path, "truncated or not a safetensors file: its header should have ", header_bytes,
           " bytes, but only ", file_bytes - kLengthBytes, " follow");
  }
  std::string text(header_bytes, ' ');
  in.read(text.data(), static_cast<std::streamsize>(header_bytes));
  if (!in) reject(path, "could not be read");

  Layout layout{.entries = {}, .metadata = {}, .data_start = kLengthBytes + header_bytes};
  const Json header = parse_header(path, text);
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataKey) {
      layout.metadata = parse_metadata(path, value);
    } else {
      layout.entries.push_back(parse_entry(path, name, value));
    }
  }
  check_offsets(path, layout.entries, static_cast<int64_t>(file_bytes - layout.data_start));
  return layout;
}

// At the place where `in` stands.
Tensor read_tensor(const fs::path& path, std::istream& in, const std::string& name,
                   const std::vector<int64_t>& shape, torch::ScalarType type) {
  return tensor_from_bytes(shape, type, [&](void* to, size_t bytes) {
    in.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (!in) reject(path, "tensor ", name, " could not be read");
  });
}

SafetensorsFile load_file(const fs::path& path) {
  std::ifstream in = open_for_reading(path);
  Layout layout = read_layout(path, in);
  SafetensorsFile file{.tensors = {}, .metadata = std::move(layout.metadata)};
  for (const Entry& entry : layout.entries) {
    file.tensors[entry.name] = read_tensor(path, in, entry.name, entry.shape, entry.dtype.type);
  }
  return file;
}

SafetensorsHeader header_in(const fs::path& path, std::ifstream& in) {
  Layout layout = read_layout(path, in);
  SafetensorsHeader header{.tensors = {}, .metadata = std::move(layout.metadata)};
  for (Entry& entry : layout.entries) {
    header.tensors[entry.name] = {.dtype = std::string(entry.dtype.name),
                                  .shape = std::move(entry.shape),
                                  .offset = static_cast<int64_t>(layout.data_start) + entry.begin};
  }
  return header;
}

SafetensorsHeader load_header(const fs::path& path) {
  std::ifstream in = open_for_reading(path);
  return header_in(path, in);
}

bool is_shard_index(const fs::path& path) {
  return path.extension() == ".json";
}

// An index's "weight_map", turned round: the tensors that are to be taken from each file.
std::map<std::string, std::vector<std::string>> names_by_shard(const fs::path& index) {
  const Json json = parse_json(read_file(index));
  const Json map = json.is_object() ? json.value("weight_map", Json()) : Json();
  if (!map.is_object() || map.empty()) {
    reject(index,
           "not an index of safetensors files: it has no weight_map, which says what tensor is in what file");
  }
  std::map<std::string, std::vector<std::string>> names;
  for (const auto& [name, file] : map.items()) {
    if (!file.is_string() || fs::path(file.get<std::string>()).filename() != file.get<std::string>()) {
      reject(index, "weight_map.", name, " must name a file beside the index, got ", json_text(file));
    }
    names[file.get<std::string>()].push_back(name);
  }
  return names;
}

template <class File>
File read_shards(const fs::path& index, File (*read)(const fs::path&)) {
  File whole;
  for (const auto& [file, names] : names_by_shard(index)) {
    const fs::path path = index.parent_path() / file;
    std::error_code ignored;  // as of a name that no file can have
    if (!fs::exists(path, ignored))
      reject(index, "its shard ", file, " is missing; copy or download all of them");
    File shard = read(path);
    for (const std::string& name : names) {
      const auto found = shard.tensors.find(name);
      if (found == shard.tensors.end()) {
        reject(index, "tensor ", name, " is not in ", file, " as it says; copy or download all files again");
      }
      whole.tensors[name] = std::move(found->second);
    }
  }
  return whole;
}

NamedDtype dtype_of(const std::string& name, const Tensor& tensor) {
  for (const NamedDtype& dtype : kSafetensorsDtypes) {
    if (dtype.type == tensor.scalar_type()) return dtype;
  }
  throw Error(
      concat("tensor ", name, " can't be written as safetensors: its dtype is ", tensor.dtype().name()));
}

// The widest dtypes first, so that every tensor is aligned to its elements.
std::vector<std::string> storage_order(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return tensors.at(a).element_size() > tensors.at(b).element_size();
  });
  return names;
}

std::string header_text(const NamedTensors& tensors, const std::vector<std::string>& order,
                        const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  uint64_t begin = 0;
  for (const std::string& name : order) {
    const Tensor& tensor = tensors.at(name);
    if (name == kMetadataKey)
      throw Error(concat("a tensor in a safetensors file can't be named ", kMetadataKey));
    const uint64_t end = begin + static_cast<uint64_t>(tensor.numel()) * tensor.element_size();
    header[name] = {{"dtype", dtype_of(name, tensor).name},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = json_text(header);
  text.append((kHeaderAlignment - text.size() % kHeaderAlignment) % kHeaderAlignment, ' ');
  return text;
}

}  // namespace

std::string metadata_at(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

void save_safetensors(const fs::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  const auto order = storage_order(tensors);
  const std::string header = header_text(tensors, order, metadata);
  write_file_atomically(path, [&](FileWriter& writer) {
    const uint64_t header_bytes = header.size();
    writer.write(&header_bytes, kLengthBytes);
    writer.write(header);
    for (const std::string& name : order) {
      const Tensor tensor = in_file_layout(tensors.at(name));
      writer.write(tensor.data_ptr(), tensor.nbytes());
    }
  });
}

SafetensorsFile load_safetensors(const fs::path& path) {
  return is_shard_index(path) ? read_shards(path, load_file) : load_file(path);
}

SafetensorsHeader read_safetensors_header(const fs::path& path) {
  return is_shard_index(path) ? read_shards(path, load_header) : load_header(path);
}

SafetensorsReader::SafetensorsReader(fs::path path)
    : path_(std::move(path)), in_(open_for_reading(path_)), header_(header_in(path_, in_)) {}

Tensor SafetensorsReader::read(const std::string& name) {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) reject(path_, "has no tensor ", name);
  const TensorInfo& info = found->second;
  const auto* dtype = std::ranges::find(kSafetensorsDtypes, info.dtype, &NamedDtype::name);
  in_.seekg(info.offset);
  return read_tensor(path_, in_, name, info.shape, dtype->type);
}

}  // namespace cm
