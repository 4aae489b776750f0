// What a fuzz target is. x_fuzz.cpp states one reader's: inputs that it accepts, and one reading.
//
// Whatever the bytes are, only Error (with InputError) may come out of a reading: any other exception, a
// crash, what a sanitizer finds, too much memory or time is a finding. scripts/fuzz.sh looks for such inputs;
// replay_test.cpp reads seeds and some of their variants in every build.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "support/temporary_folder.h"

namespace cm::fuzz {

struct Target {
  std::string name;  // x of x_fuzz.cpp
  std::vector<std::string> (*seeds)();
  void (*read)(const std::string& input);
};

// Those that are linked: one in a fuzzer, all in the test. Each is put here by its own file.
inline std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

struct Listed {
  explicit Listed(Target target) { targets().push_back(std::move(target)); }
};

// Whether a target's reader takes the input; what it throws but Error goes on.
inline bool accepts(const Target& target, const std::string& input) {
  try {
    target.read(input);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// A law of what was read; breaking it is a finding.
inline void require(bool holds, const char* law) {
  if (!holds) throw std::logic_error(law);
}

// A folder of this process for readers of files, in memory where the system has a place for that.
inline const std::filesystem::path& scratch() {
  static const test::TemporaryFolder folder = [] {
    if (std::filesystem::is_directory("/dev/shm")) setenv("TMPDIR", "/dev/shm", /*replace=*/0);
    return test::TemporaryFolder();
  }();
  return folder.path();
}

// The input as a file of that name.
inline std::filesystem::path file_of(const std::string& input, const std::string& name) {
  const std::filesystem::path path = scratch() / name;
  std::ofstream(path, std::ios::binary | std::ios::trunc) << input;
  return path;
}

// What a writer of files writes.
template <class Write>
std::string bytes_of(const std::string& name, const Write& write) {
  const std::filesystem::path path = scratch() / name;
  write(path);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The pieces of an input between its separators: "a|b" → {"a", "b"}; at least one.
inline std::vector<std::string> pieces(const std::string& input, char separator) {
  std::vector<std::string> all(1);
  for (const char c : input) {
    if (c == separator) {
      all.emplace_back();
    } else {
      all.back() += c;
    }
  }
  return all;
}

}  // namespace cm::fuzz
