#include "cm/base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <sstream>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to(const char* verb, const fs::path& path) {
  const int code = errno;
  const char* remedy = code == ENOSPC ? "; free some space and run again" : "";
  throw Error(concat("could not ", verb, " ", path.string(), ": ", std::strerror(code), remedy));
}

constexpr const char* kTemporary = ".tmp-";

fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / concat(".", path.filename().string(), kTemporary, getpid());
}

bool is_temporary(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return name.starts_with('.') && name.find(kTemporary) != std::string::npos;
}

// Whether what is at `path` would survive a power cut.
bool synced(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool done = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return done;
}

// Makes a rename in `folder` survive a power cut, where the file system can.
void sync_folder(const fs::path& folder) {
  synced(folder.empty() ? "." : folder);
}

// Those of this process; a signal that ends it leaves no scope.
class Unfinished {
 public:
  static Unfinished& instance() {
    static Unfinished unfinished;
    return unfinished;
  }
  void add(const fs::path& path) {
    const std::lock_guard lock(mutex_);
    paths_.insert(path);
  }
  void forget(const fs::path& path) {
    const std::lock_guard lock(mutex_);
    paths_.erase(path);
  }
  void remove_all() {
    const std::lock_guard lock(mutex_);
    std::error_code ignored;
    for (const fs::path& path : paths_) fs::remove_all(path, ignored);
  }

 private:
  std::mutex mutex_;
  std::set<fs::path> paths_;
};

// Removes the path at the end of the scope unless it was kept.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) { Unfinished::instance().add(path_); }
  ~Temporary() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
    Unfinished::instance().forget(path_);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  bool kept_ = false;
};

// The folder, empty.
void make_anew(const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  if (::mkdir(folder.c_str(), 0755) != 0) fail_to("create", folder);
}

}  // namespace

FileWriter::FileWriter(const fs::path& path, Mode mode)
    : path_(path),
      mode_(mode),
      descriptor_(::open(
          path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (mode == Mode::append ? O_APPEND : O_TRUNC), 0644)) {
  if (descriptor_ < 0) fail_to("open", path_);
}

FileWriter::~FileWriter() {
  ::close(descriptor_);
}

void FileWriter::write(const void* bytes, size_t count) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(descriptor_, next, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_to("write", path_);
    next += written;
    count -= static_cast<size_t>(written);
  }
  if (mode_ == Mode::append) check_in_place();
}

void FileWriter::check_in_place() const {
  struct stat open {};
  struct stat named {};
  const bool there = ::fstat(descriptor_, &open) == 0 && ::stat(path_.c_str(), &named) == 0 &&
                     open.st_dev == named.st_dev && open.st_ino == named.st_ino;
  if (!there) {
    throw Error(
        concat("could not go on writing ", path_.string(), ": it was removed, moved or replaced meanwhile"));
  }
}

void FileWriter::sync() {
  if (::fsync(descriptor_) != 0) fail_to("write", path_);
}

void write_file_atomically(const fs::path& path, const std::function<void(FileWriter&)>& fill) {
  Temporary temporary(temporary_beside(path));
  {
    FileWriter writer(temporary.path());
    fill(writer);
    writer.sync();
  }
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) fail_to("replace", path);
  temporary.keep();
  sync_folder(path.parent_path());
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, [&](FileWriter& writer) { writer.write(text); });
}

// In a folder of its own, for such libraries have temporary files too.
void write_path_atomically(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  const Temporary folder(temporary_beside(path));
  make_anew(folder.path());
  const fs::path file = folder.path() / path.filename();
  fill(file);
  if (!synced(file)) fail_to("write", path);
  if (::rename(file.c_str(), path.c_str()) != 0) fail_to("replace", path);
  sync_folder(path.parent_path());
}

void write_folder_atomically(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  Temporary temporary(temporary_beside(path));
  make_anew(temporary.path());
  fill(temporary.path());
  sync_folder(temporary.path());
  // A folder can't be renamed over another: the old one steps aside until the new one is in place.
  const fs::path old = concat(temporary.path().string(), "-old");
  const bool replaced = fs::exists(path) && ::rename(path.c_str(), old.c_str()) == 0;
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) {
    const int code = errno;
    if (replaced) ::rename(old.c_str(), path.c_str());
    errno = code;
    fail_to("replace", path);
  }
  temporary.keep();
  sync_folder(path.parent_path());
  std::error_code ignored;
  fs::remove_all(old, ignored);
}

void refuse_to_replace(const fs::path& path, bool force) {
  if (!force && fs::exists(path)) {
    throw InputError(concat(path.string(), ": exists already; --force writes over it"));
  }
}

void create_folder_of(const fs::path& path) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
}

FolderLock::FolderLock(const fs::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_to("open", folder);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw InputError(concat(folder.string(),
                          ": another process is writing to it; stop that one or wait for its end, or name "
                          "another folder"));
}

FolderLock::~FolderLock() {
  ::close(descriptor_);
}

void remove_folder_atomically(const fs::path& path) {
  const Temporary going(concat(temporary_beside(path).string(), "-gone"));
  std::error_code ignored;
  fs::remove_all(going.path(), ignored);
  if (::rename(path.c_str(), going.path().c_str()) != 0 && errno != ENOENT) fail_to("remove", path);
}

bool holds_nothing(const fs::path& folder) {
  return std::ranges::all_of(fs::directory_iterator(folder), is_temporary);
}

void remove_unfinished(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return;
  std::vector<fs::path> unfinished;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_temporary(entry)) unfinished.push_back(entry.path());
  }
  for (const fs::path& path : unfinished) fs::remove_all(path);
}

void remove_own_unfinished() {
  Unfinished::instance().remove_all();
}

void swing_link(const fs::path& link, const std::string& target) {
  Temporary temporary(temporary_beside(link));
  ::unlink(temporary.path().c_str());
  if (::symlink(target.c_str(), temporary.path().c_str()) != 0) fail_to("create", temporary.path());
  if (::rename(temporary.path().c_str(), link.c_str()) != 0) fail_to("replace", link);
  temporary.keep();
  sync_folder(link.parent_path());
}

std::ifstream open_for_reading(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw InputError(concat(path.string(), ": no such file"));
  if (fs::is_directory(path, ignored))
    throw InputError(concat(path.string(), ": is a folder, a file is needed"));
  std::ifstream in(path, std::ios::binary);
  if (!in) throw InputError(concat(path.string(), ": could not be opened: ", std::strerror(errno)));
  return in;
}

std::string read_file(const fs::path& path) {
  std::ifstream in = open_for_reading(path);
  std::ostringstream content;
  content << in.rdbuf();
  if (!in) throw InputError(concat(path.string(), ": could not be read: ", std::strerror(errno)));
  return content.str();
}

}  // namespace cm
