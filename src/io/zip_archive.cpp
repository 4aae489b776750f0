#include "cm/io/zip_archive.h"

#include <strings.h>
#include <zip.h>

#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "zip_message.h"

namespace cm {
namespace {

constexpr uint64_t kDeflateLimit = 1'032;  // the most that deflate can shrink anything

}  // namespace

ZipStream::ZipStream(zip* archive, uint64_t index, std::string where)
    : where_(std::move(where)), file_(zip_fopen_index(archive, index, 0), zip_fclose) {
  if (!file_) throw InputError(concat(where_, ": could not be read: ", zip_strerror(archive)));
}

void ZipStream::read(void* to, size_t bytes) {
  auto* next = static_cast<char*>(to);
  while (bytes > 0) {
    const zip_int64_t count = zip_fread(file_.get(), next, bytes);
    if (count <= 0) fail(count < 0 ? zip_file_strerror(file_.get()) : "it ends too early");
    next += count;
    bytes -= static_cast<size_t>(count);
  }
}

// libzip compares the checksum when it meets the end.
void ZipStream::expect_end() {
  char extra = 0;
  const zip_int64_t count = zip_fread(file_.get(), &extra, 1);
  if (count != 0) fail(count < 0 ? zip_file_strerror(file_.get()) : "it is longer than its header says");
}

void ZipStream::fail(const std::string& reason) const {
  throw InputError(concat(where_, ": damaged: ", reason, "; copy or download the file again"));
}

ZipArchive::ZipArchive(const std::filesystem::path& path, const std::string& kind)
    : archive_(nullptr, zip_discard) {
  int code = 0;
  archive_.reset(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (!archive_) throw InputError(concat(path.string(), ": not a readable ", kind, ": ", zip_message(code)));
  file_bytes_ = std::filesystem::file_size(path);
  const auto count = static_cast<zip_uint64_t>(zip_get_num_entries(archive_.get(), 0));
  entries_.reserve(count);
  for (zip_uint64_t index = 0; index < count; ++index) {
    zip_stat_t stat;
    if (zip_stat_index(archive_.get(), index, 0, &stat) != 0) {
      throw InputError(concat(path.string(), ": ", zip_strerror(archive_.get())));
    }
    entries_.push_back({stat.name, stat.size});
  }
}

ZipStream ZipArchive::open(size_t index, const std::string& where) const {
  zip_stat_t stat;
  zip_stat_index(archive_.get(), index, 0, &stat);
  // Looked at before memory is taken: a short file must not make us allocate terabytes.
  if (stat.comp_size > file_bytes_ || stat.size / kDeflateLimit > stat.comp_size) {
    throw InputError(
        concat(where, ": damaged: it can't hold the ", stat.size, " bytes that it says it does"));
  }
  return {archive_.get(), index, where};
}

std::string ZipArchive::read(size_t index, const std::string& where) const {
  const std::lock_guard lock(mutex_);
  ZipStream stream = open(index, where);
  std::string content(entries_.at(index).bytes, '\0');
  stream.read(content.data(), content.size());
  stream.expect_end();
  return content;
}

bool is_zip(const std::filesystem::path& path) {
  return strcasecmp(path.extension().c_str(), ".zip") == 0;
}

}  // namespace cm
