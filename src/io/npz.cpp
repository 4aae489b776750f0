#include "cm/io/npz.h"

#include <zip.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <list>
#include <memory>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/io/zip_archive.h"
#include "npy_header.h"
#include "npy_reader.h"
#include "raw_tensor.h"
#include "zip_message.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".npy";
constexpr uint16_t kFirstDosDate = 33;  // 1 January 1980, so that equal arrays make equal files
constexpr size_t kNamed = 5;            // of the arrays that are not read

using NewArchive = std::unique_ptr<zip_t, decltype(&zip_discard)>;

// One array on its way into an archive: header and data, one after the other, without a joined copy.
struct NpyStream {
  std::string header;
  Tensor data;
  uint64_t position = 0;

  uint64_t size() const { return header.size() + data.nbytes(); }

  uint64_t read(char* to, uint64_t bytes) {
    const bool in_header = position < header.size();
    const char* from = in_header ? header.data() + position
                                 : static_cast<const char*>(data.data_ptr()) + (position - header.size());
    const uint64_t count = std::min(bytes, (in_header ? header.size() : size()) - position);
    if (count > 0) std::memcpy(to, from, count);
    position += count;
    return count;
  }
};

// libzip's view of an NpyStream (zip_source_function(3)).
zip_int64_t serve(void* user, void* data, zip_uint64_t length, zip_source_cmd_t command) {
  auto& stream = *static_cast<NpyStream*>(user);
  switch (command) {
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE,
                                            ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, -1);
    case ZIP_SOURCE_STAT: {
      auto* stat = static_cast<zip_stat_t*>(data);
      zip_stat_init(stat);
      stat->size = stream.size();
      stat->valid |= ZIP_STAT_SIZE;
      return sizeof(*stat);
    }
    case ZIP_SOURCE_OPEN:
      stream.position = 0;
      return 0;
    case ZIP_SOURCE_READ:
      return static_cast<zip_int64_t>(stream.read(static_cast<char*>(data), length));
    case ZIP_SOURCE_ERROR:  // asked after a failure, and none of the above can fail
      return 2 * sizeof(int);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:  // the stream belongs to save_npz
      return 0;
    default:
      return -1;
  }
}

void add_array(zip_t* archive, const std::string& name, NpyStream& stream) {
  zip_source_t* source = zip_source_function(archive, serve, &stream);
  const zip_int64_t added =
      source == nullptr ? -1 : zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (added < 0) {
    zip_source_free(source);
    throw Error(concat("could not add array ", name, ": ", zip_strerror(archive)));
  }
  const auto index = static_cast<zip_uint64_t>(added);
  zip_set_file_compression(archive, index, ZIP_CM_STORE, 0);
  zip_file_set_dostime(archive, index, 0, kFirstDosDate, 0);
}

// The arrays whose names are wanted. Any name may be, of what is not.
NpzArrays load_arrays(const fs::path& path, const std::function<bool(const std::string& name)>& wanted) {
  const ZipArchive archive(path, ".npz archive");
  const auto& entries = archive.entries();
  if (entries.empty()) throw InputError(concat(path.string(), ": holds no arrays"));
  NpzArrays arrays;
  for (size_t index = 0; index < entries.size(); ++index) {
    std::string name = entries[index].name;
    const std::string where = concat(path.string(), ": array ", name);
    const bool is_array = name.ends_with(kSuffix);
    if (is_array) name.resize(name.size() - kSuffix.size());
    if (!wanted(name)) continue;
    if (!is_array) throw InputError(concat(where, ": its name must end in ", kSuffix));
    ZipStream stream = archive.open(index, where);
    const auto read = [&](void* to, size_t bytes) { stream.read(to, bytes); };
    arrays[name] = read_npy(read, entries[index].bytes, where);
    stream.expect_end();
  }
  return arrays;
}

}  // namespace

void save_npz(const fs::path& path, const NpzArrays& arrays) {
  if (arrays.empty())
    throw Error(concat("could not write ", path.string(), ": there are no arrays to write"));
  write_path_atomically(path, [&](const fs::path& temporary) {
    std::list<NpyStream> streams;  // outlive the archive, which reads them when it is closed
    int code = 0;
    NewArchive archive(zip_open(temporary.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code), zip_discard);
    if (!archive) throw Error(concat("could not write ", path.string(), ": ", zip_message(code)));
    for (const auto& [name, tensor] : arrays) {
      NpyStream& stream = streams.emplace_back();
      stream.header = format_npy_header(tensor.scalar_type(), tensor.sizes().vec());
      stream.data = in_file_layout(tensor);
      add_array(archive.get(), concat(name, kSuffix), stream);
    }
    if (zip_close(archive.get()) != 0) {
      throw Error(concat("could not write ", path.string(), ": ", zip_strerror(archive.get())));
    }
    static_cast<void>(archive.release());  // zip_close freed it
  });
}

NpzArrays load_npz(const fs::path& path) {
  return load_arrays(path, [](const std::string&) { return true; });
}

NpzArrays load_npz(const fs::path& path, const std::vector<std::string>& names) {
  std::vector<std::string> others;
  NpzArrays arrays = load_arrays(path, [&](const std::string& name) {
    const bool wanted = std::ranges::find(names, name) != names.end();
    if (!wanted) others.push_back(name);
    return wanted;
  });
  if (others.empty()) return arrays;
  const auto end = others.begin() + static_cast<ptrdiff_t>(std::min(others.size(), kNamed));
  log_info(concat(path.string(), ": not read: ", others.size(), " other array(s), ",
                  join({others.begin(), end}), end == others.end() ? "" : ", …"));
  return arrays;
}

bool is_npz(const fs::path& path) {
  return path.extension() == ".npz";
}

}  // namespace cm
