#include "cm/io/npz.h"

#include <algorithm>
#include <functional>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/io/npy.h"
#include "cm/io/zip_archive.h"
#include "cm/io/zip_writer.h"
#include "npy_header.h"
#include "raw_tensor.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".npy";
constexpr size_t kNamed = 5;  // of the arrays that are not read

// Header and data, without a joined copy.
NewZipEntry entry_of(const std::string& name, const Tensor& tensor) {
  const Tensor stored = in_file_layout(tensor);
  const std::string header = format_npy_header(stored.scalar_type(), stored.sizes().vec());
  const auto bytes = [=]() -> ZipBytes {
    return {header, {static_cast<const char*>(stored.data_ptr()), stored.nbytes()}};
  };
  return {concat(name, kSuffix), bytes, header.size() + stored.nbytes()};
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
  std::vector<NewZipEntry> entries;
  for (const auto& [name, tensor] : arrays) entries.push_back(entry_of(name, tensor));
  write_zip(path, entries);
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
