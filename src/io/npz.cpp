#include "cm/io/npz.h"

#include <zip.h>

#include <cstring>
#include <list>
#include <memory>
#include <numeric>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "npy_header.h"
#include "raw_tensor.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".npy";
constexpr uint32_t kLongestHeader =
    65'535;  // of a header whose length has 4 bytes; NumPy itself stops at 10,000
constexpr uint64_t kDeflateLimit = 1'032;  // the most that deflate can shrink anything
constexpr uint16_t kFirstDosDate = 33;     // 1 January 1980, so that equal arrays make equal files

using Archive = std::unique_ptr<zip_t, decltype(&zip_discard)>;
using ArchiveEntry = std::unique_ptr<zip_file_t, decltype(&zip_fclose)>;

std::string open_error(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

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

// Reads one entry of an archive as far as asked; `where` names it in messages.
class EntryReader {
 public:
  EntryReader(zip_t* archive, zip_uint64_t index, std::string where)
      : where_(std::move(where)), entry_(zip_fopen_index(archive, index, 0), zip_fclose) {
    if (!entry_) throw InputError(concat(where_, ": could not be read: ", zip_strerror(archive)));
  }

  void read(void* to, size_t bytes) {
    auto* next = static_cast<char*>(to);
    while (bytes > 0) {
      const zip_int64_t count = zip_fread(entry_.get(), next, bytes);
      if (count <= 0) fail(count < 0 ? zip_file_strerror(entry_.get()) : "it ends too early");
      next += count;
      bytes -= static_cast<size_t>(count);
    }
  }

  std::string read_text(size_t bytes) {
    std::string text(bytes, ' ');
    read(text.data(), bytes);
    return text;
  }

  // libzip compares the checksum when it meets the end.
  void expect_end() {
    char extra = 0;
    const zip_int64_t count = zip_fread(entry_.get(), &extra, 1);
    if (count != 0) fail(count < 0 ? zip_file_strerror(entry_.get()) : "it is longer than its header says");
  }

  const std::string& where() const { return where_; }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw InputError(concat(where_, ": damaged: ", reason, "; copy or download the file again"));
  }

  std::string where_;
  ArchiveEntry entry_;
};

// Element [i, j, …] of a Fortran-ordered array is element […, j, i] of the C-ordered array with the sizes
// reversed.
Tensor read_data(EntryReader& entry, NpyHeader header) {
  if (header.fortran_order) std::reverse(header.shape.begin(), header.shape.end());
  const Tensor data =
      tensor_from_bytes(header.shape, header.dtype, [&](void* to, size_t bytes) { entry.read(to, bytes); });
  entry.expect_end();
  if (!header.fortran_order) return data;
  std::vector<int64_t> reversed(header.shape.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return data.permute(reversed).contiguous();
}

Tensor read_array(zip_t* archive, zip_uint64_t index, const std::string& where) {
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_stat_index(archive, index, 0, &stat) != 0)
    throw InputError(concat(where, ": ", zip_strerror(archive)));
  EntryReader entry(archive, index, where);
  const size_t length_bytes = npy_length_bytes(entry.read_text(kNpyMagicBytes), where);
  uint32_t header_bytes = 0;
  entry.read(&header_bytes, length_bytes);
  if (header_bytes > kLongestHeader)
    throw InputError(concat(where, ": its header of ", header_bytes, " bytes is too long"));
  const NpyHeader header = parse_npy_header(entry.read_text(header_bytes), where);

  // Compared before the tensor is allocated: a short file must not make us allocate terabytes.
  const auto bytes = byte_count(header.shape, header.dtype);
  const uint64_t before_data = kNpyMagicBytes + length_bytes + header_bytes;
  const bool plausible = stat.size / kDeflateLimit <= stat.comp_size;
  if (!bytes || !plausible || before_data + static_cast<uint64_t>(*bytes) != stat.size) {
    throw InputError(concat(where, ": damaged: its header does not fit its size of ", stat.size, " bytes"));
  }
  return read_data(entry, header);
}

}  // namespace

void save_npz(const fs::path& path, const NpzArrays& arrays) {
  if (arrays.empty())
    throw Error(concat("could not write ", path.string(), ": there are no arrays to write"));
  std::list<NpyStream> streams;  // outlive the archive, which reads them when it is closed
  int code = 0;
  // libzip writes beside the path and renames when it closes the archive.
  Archive archive(zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code), zip_discard);
  if (!archive) throw Error(concat("could not write ", path.string(), ": ", open_error(code)));
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
}

NpzArrays load_npz(const fs::path& path) {
  int code = 0;
  const Archive archive(zip_open(path.c_str(), ZIP_RDONLY, &code), zip_discard);
  if (!archive) throw InputError(concat(path.string(), ": not a readable .npz archive: ", open_error(code)));
  NpzArrays arrays;
  const auto count = static_cast<zip_uint64_t>(zip_get_num_entries(archive.get(), 0));
  if (count == 0) throw InputError(concat(path.string(), ": holds no arrays"));
  for (zip_uint64_t index = 0; index < count; ++index) {
    const char* entry_name = zip_get_name(archive.get(), index, 0);
    std::string name = entry_name == nullptr ? "" : entry_name;
    const std::string where = concat(path.string(), ": array ", name);
    if (!name.ends_with(kSuffix)) throw InputError(concat(where, ": its name must end in ", kSuffix));
    name.resize(name.size() - kSuffix.size());
    arrays[name] = read_array(archive.get(), index, where);
  }
  return arrays;
}

bool is_npz(const fs::path& path) {
  return path.extension() == ".npz";
}

}  // namespace cm
