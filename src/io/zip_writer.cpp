#include "cm/io/zip_writer.h"

#include <zip.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <list>
#include <memory>
#include <optional>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "zip_message.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr uint16_t kFirstDosDate = 33;  // 1 January 1980, so that equal entries make equal files

using NewArchive = std::unique_ptr<zip_t, decltype(&zip_discard)>;

// An entry on its way into an archive; libzip's own thread of calls must see no exception.
class EntrySource {
 public:
  EntrySource(const NewZipEntry& entry, std::exception_ptr& failure) : entry_(entry), failure_(failure) {}

  // False when the bytes can't be had.
  bool open() {
    position_ = 0;
    try {
      bytes_ = entry_.bytes();
    } catch (...) {
      failure_ = std::current_exception();
    }
    return bytes_.has_value();
  }

  void close() { bytes_.reset(); }

  std::optional<uint64_t> known_size() const { return entry_.size; }

  uint64_t read(char* to, uint64_t most) {
    const bool in_own = position_ < bytes_->own.size();
    const char* from =
        in_own ? bytes_->own.data() + position_ : bytes_->lent.data() + (position_ - bytes_->own.size());
    const uint64_t count =
        std::min(most, (in_own ? bytes_->own.size() : bytes_->own.size() + bytes_->lent.size()) - position_);
    if (count > 0) std::memcpy(to, from, count);
    position_ += count;
    return count;
  }

 private:
  const NewZipEntry& entry_;
  std::exception_ptr& failure_;
  std::optional<ZipBytes> bytes_;
  uint64_t position_ = 0;
};

// libzip's view of it (zip_source_function(3)). An entry's size is asked for long before its bytes; where it
// is not known libzip takes up to 20 bytes more for it.
zip_int64_t serve(void* user, void* data, zip_uint64_t length, zip_source_cmd_t command) {
  auto& source = *static_cast<EntrySource*>(user);
  switch (command) {
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE,
                                            ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, -1);
    case ZIP_SOURCE_STAT: {
      auto* stat = static_cast<zip_stat_t*>(data);
      zip_stat_init(stat);
      if (const auto size = source.known_size()) {
        stat->size = *size;
        stat->valid |= ZIP_STAT_SIZE;
      }
      return sizeof(*stat);
    }
    case ZIP_SOURCE_OPEN:
      return source.open() ? 0 : -1;
    case ZIP_SOURCE_READ:
      return static_cast<zip_int64_t>(source.read(static_cast<char*>(data), length));
    case ZIP_SOURCE_CLOSE:
      source.close();
      return 0;
    case ZIP_SOURCE_ERROR: {  // the exception tells what failed
      const int codes[] = {ZIP_ER_INTERNAL, 0};
      std::memcpy(data, static_cast<const int*>(codes), sizeof(codes));
      return sizeof(codes);
    }
    case ZIP_SOURCE_FREE:  // it belongs to write_zip
      return 0;
    default:
      return -1;
  }
}

void add_entry(zip_t* archive, const std::string& name, EntrySource& entry) {
  zip_source_t* source = zip_source_function(archive, serve, &entry);
  const zip_int64_t added =
      source == nullptr ? -1 : zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (added < 0) {
    zip_source_free(source);
    throw Error(concat("could not add entry ", name, ": ", zip_strerror(archive)));
  }
  const auto index = static_cast<zip_uint64_t>(added);
  zip_set_file_compression(archive, index, ZIP_CM_STORE, 0);
  zip_file_set_dostime(archive, index, 0, kFirstDosDate, 0);
}

}  // namespace

void write_zip(const fs::path& path, const std::vector<NewZipEntry>& entries) {
  write_path_atomically(path, [&](const fs::path& temporary) {
    std::list<EntrySource> sources;  // outlive the archive, which reads them when it is closed
    std::exception_ptr failure;
    int code = 0;
    NewArchive archive(zip_open(temporary.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code), zip_discard);
    if (!archive) throw Error(concat("could not write ", path.string(), ": ", zip_message(code)));
    for (const NewZipEntry& entry : entries)
      add_entry(archive.get(), entry.name, sources.emplace_back(entry, failure));
    const bool written = zip_close(archive.get()) == 0;
    if (failure) std::rethrow_exception(failure);
    if (!written) throw Error(concat("could not write ", path.string(), ": ", zip_strerror(archive.get())));
    static_cast<void>(archive.release());  // zip_close freed it
  });
}

}  // namespace cm
