// Zip archives, written entry after entry without holding more than one of them.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cm {

// An entry's bytes: `own`, then `lent`, which others keep.
struct ZipBytes {
  std::string own;
  std::string_view lent = {};
};

struct NewZipEntry {
  std::string name;                             // "00000/img00000000.png", UTF-8
  std::function<ZipBytes()> bytes;              // is asked once, when the entry is written
  std::optional<uint64_t> size = std::nullopt;  // of the bytes, where it is known before
};

// Writes an archive of stored entries, complete or absent; equal entries make equal files. Error when the
// disk fails, and whatever `bytes` throws: then what was at `path` stays.
void write_zip(const std::filesystem::path& path, const std::vector<NewZipEntry>& entries);

}  // namespace cm
