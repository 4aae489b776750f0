#include "cm/data/set_files.h"

#include <algorithm>
#include <iomanip>

#include "cm/base/text.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kExamplesAFile = 1024;
constexpr int64_t kBytesAFile = 64 << 20;
constexpr const char* kSetSuffix = ".safetensors";

}  // namespace

fs::path set_file_path(const fs::path& folder, const std::string& name, int64_t index) {
  return folder / concat(name, '-', std::setw(6), std::setfill('0'), index, kSetSuffix);
}

std::vector<SetFile> set_files(const fs::path& folder, const std::string& name, int64_t count,
                               int64_t bytes) {
  const int64_t size = std::clamp<int64_t>(kBytesAFile / bytes, 1, kExamplesAFile);
  std::vector<SetFile> files;
  for (int64_t first = 0; first < count; first += size) {
    files.push_back({set_file_path(folder, name, first / size), first, std::min(size, count - first)});
  }
  return files;
}

std::vector<fs::path> set_files_in(const fs::path& folder, const std::string& name) {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(name + "-") && file.ends_with(kSetSuffix)) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace cm
