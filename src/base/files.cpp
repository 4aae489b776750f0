#include "cm/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
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

fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / concat(".", path.filename().string(), ".tmp-", getpid());
}

// Makes a rename in `folder` survive a power cut.
void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

// Removes the path at the end of the scope unless it was kept.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {}
  ~Temporary() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  fs::path path_;
};

}  // namespace

FileWriter::FileWriter(const fs::path& path, Mode mode)
    : path_(path),
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

void write_folder_atomically(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  Temporary temporary(temporary_beside(path));
  std::error_code failed;
  fs::remove_all(temporary.path(), failed);
  if (::mkdir(temporary.path().c_str(), 0755) != 0) fail_to("create", temporary.path());
  fill(temporary.path());
  sync_folder(temporary.path());
  // A folder can't be renamed over another: the old one steps aside until the new one is in place.
  const Temporary old(concat(temporary.path().string(), "-old"));
  const bool replaced = fs::exists(path) && ::rename(path.c_str(), old.path().c_str()) == 0;
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) {
    const int code = errno;
    if (replaced) ::rename(old.path().c_str(), path.c_str());
    errno = code;
    fail_to("replace", path);
  }
  temporary.keep();
  sync_folder(path.parent_path());
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
