// Hugging Face's safetensors: 8 bytes of header length, a JSON header, raw little-endian tensors.
// https://huggingface.co/docs/safetensors
//
// Large models lie in several such files, shards, beside an index: a .json whose "weight_map" says which file
// holds which tensor. What reads a file reads an index as one file of all its tensors, without metadata.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

using NamedTensors = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;

// A file's tensors and its `__metadata__`.
struct SafetensorsFile {
  NamedTensors tensors;
  Metadata metadata;
};

// The value of a key; "" where the metadata has none.
std::string metadata_at(const Metadata& metadata, const std::string& key);

// Writes the tensors (any device, any strides; F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL) atomically. Throws
// Error when the disk fails.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                      const Metadata& metadata = {});

// Reads the whole file, or all shards of an index, into CPU tensors. InputError with the path when it is
// missing, truncated, not safetensors, has a header above 100 MB, overlapping or out-of-range offsets, or a
// dtype or shape that does not fit its bytes; of an index also when a shard is missing, or a tensor in it.
SafetensorsFile load_safetensors(const std::filesystem::path& path);

// The metadata and the name, shape and place of every tensor, without reading the data. Same errors.
struct TensorInfo {
  std::string dtype;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its data, in bytes from the start of its file
};
struct SafetensorsHeader {
  std::map<std::string, TensorInfo> tensors;
  Metadata metadata;
};
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

// A file, no index, whose tensors are read one at a time. Same errors.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  const SafetensorsHeader& header() const { return header_; }
  // On the CPU. InputError when the file has no tensor of this name.
  Tensor read(const std::string& name);

 private:
  std::filesystem::path path_;
  std::ifstream in_;
  SafetensorsHeader header_;
};

}  // namespace cm
