// Files that are complete or absent: written beside their place, synced, then renamed over it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

namespace cm {

// An open file descriptor for writing whose every failure throws Error with the path: a full disk, and of a
// file that is appended to also that others removed, moved or replaced it, so that a run of weeks does not
// write into nothing.
class FileWriter {
 public:
  enum class Mode { truncate, append };
  explicit FileWriter(const std::filesystem::path& path, Mode mode = Mode::truncate);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(const void* bytes, size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void sync();

 private:
  void check_in_place() const;

  std::filesystem::path path_;
  Mode mode_;
  int descriptor_;
};

// Calls `fill` with a writer of a temporary file beside `path`, syncs it and renames it to `path`. When
// `fill` or the disk fails, the temporary is removed, what was at `path` stays, and the exception goes on.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& fill);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// The same where a library writes the file itself, by its path.
void write_path_atomically(const std::filesystem::path& path,
                           const std::function<void(const std::filesystem::path& temporary)>& fill);

// Calls `fill` with an empty temporary folder beside `path`, then renames it to `path`, replacing a folder
// that was there. Same promises as write_file_atomically.
void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path& folder)>& fill);

// InputError, with the remedy, where something is at `path` and `force` (--force) does not let it be
// replaced.
void refuse_to_replace(const std::filesystem::path& path, bool force);

// The folder that `path` lies in, where it is missing.
void create_folder_of(const std::filesystem::path& path);

// Removes a folder, if it is there, and all in it; a process that dies meanwhile leaves it whole or gone.
void remove_folder_atomically(const std::filesystem::path& path);

// Whether there is nothing in a folder but what processes that died in the functions above left of their
// writes.
bool holds_nothing(const std::filesystem::path& folder);

// Removes what processes that died left in a folder, if it is there; nobody else may be writing to it.
void remove_unfinished(const std::filesystem::path& folder);

// Removes whatever this process has begun and not finished, for when it is about to end.
void remove_own_unfinished();

// While it lives no other process, and nobody else in this one, gets a lock of the same folder: an InputError
// tells them. It leaves nothing in the folder, and goes with its process however that ends. Where the file
// system knows no locks nothing is locked.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

// Makes `link` a relative symbolic link to `target` (a name in the same folder) by an atomic rename.
void swing_link(const std::filesystem::path& link, const std::string& target);

// A binary stream at the start of the file. InputError when it is missing, a folder, or can't be opened.
std::ifstream open_for_reading(const std::filesystem::path& path);

// The whole file. InputError when it is missing or can't be read.
std::string read_file(const std::filesystem::path& path);

}  // namespace cm
