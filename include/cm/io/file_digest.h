// Which file it was: a digest to print beside the numbers that a file led to.
#pragma once

#include <filesystem>
#include <string>

namespace cm {

// The SHA-256 of the file's bytes, as 64 hexadecimal digits. InputError when it can't be read.
std::string sha256_of(const std::filesystem::path& file);

}  // namespace cm
