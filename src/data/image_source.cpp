#include "cm/data/image_source.h"

#include <string>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/npz.h"
#include "cm/io/zip_archive.h"

namespace cm {

ImageSource image_source(const std::filesystem::path& path) {
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    const std::filesystem::path samples = path / "samples.npz";
    if (std::filesystem::exists(samples, failed)) return {ImageSourceKind::npz, samples};
    return {ImageSourceKind::files, path};
  }
  if (!std::filesystem::exists(path, failed)) {
    const std::string reason = failed ? failed.message() : "no such file or folder";
    throw InputError(concat(path.string(), ": ", reason));
  }
  if (is_zip(path)) return {ImageSourceKind::files, path};
  if (is_npz(path)) return {ImageSourceKind::npz, path};
  const std::string name = path.filename().string();
  const bool is_csv = name.ends_with(".csv") || name.ends_with(".csv.gz");
  return {is_csv ? ImageSourceKind::digits : ImageSourceKind::picture, path};
}

}  // namespace cm
