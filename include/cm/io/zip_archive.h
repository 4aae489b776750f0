// Zip archives, read without unpacking them: stored and deflated entries.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct zip;
struct zip_file;

namespace cm {

// One entry from its beginning on, as far as asked; for one thread at a time, and not longer than its
// archive.
class ZipStream {
 public:
  ZipStream(zip* archive, uint64_t index, std::string where);

  // InputError, with `where` in front, when the entry ends earlier or is damaged.
  void read(void* to, size_t bytes);
  // InputError when there is more, or the checksum does not fit.
  void expect_end();

 private:
  [[noreturn]] void fail(const std::string& reason) const;

  std::string where_;
  std::unique_ptr<zip_file, int (*)(zip_file*)> file_;
};

class ZipArchive {
 public:
  struct Entry {
    std::string name;    // "00000/img00000000.png"; a folder's ends in '/'
    uint64_t bytes = 0;  // unpacked
  };

  // Reads the archive's directory alone. InputError with the path, which `kind` describes, when it is missing
  // or no zip.
  explicit ZipArchive(const std::filesystem::path& path, const std::string& kind = "zip archive");

  // In the archive's own order.
  const std::vector<Entry>& entries() const { return entries_; }

  // InputError, with `where` in front, when the entry can't be read or has a size that nothing can have.
  ZipStream open(size_t index, const std::string& where) const;

  // The whole entry; any thread may ask. InputError, with `where` in front, when it is damaged.
  std::string read(size_t index, const std::string& where) const;

 private:
  std::unique_ptr<zip, void (*)(zip*)> archive_;
  uint64_t file_bytes_;
  std::vector<Entry> entries_;
  mutable std::mutex mutex_;  // libzip serves one thread at a time
};

// True when the path ends in ".zip", in any case.
bool is_zip(const std::filesystem::path& path);

}  // namespace cm
