// A set of examples that is made file by file, NAME-000000.safetensors, …, so that several processes can make
// it, and go on where they were interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cm {

// Examples first … first + count − 1 of a set.
struct SetFile {
  std::filesystem::path path;
  int64_t first = 0;
  int64_t count = 0;
};

// NAME-000012.safetensors of 12.
std::filesystem::path set_file_path(const std::filesystem::path& folder, const std::string& name,
                                    int64_t index);

// The files of `count` examples of so many `bytes` each: 1024 in each, of large ones fewer, about 64 MB.
std::vector<SetFile> set_files(const std::filesystem::path& folder, const std::string& name, int64_t count,
                               int64_t bytes);

// The files of that name that are in a folder, of any set.
std::vector<std::filesystem::path> set_files_in(const std::filesystem::path& folder, const std::string& name);

}  // namespace cm
