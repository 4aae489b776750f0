#include "cm/data/image_folder.h"

#include <algorithm>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "file_mistakes.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

struct LabelledFile {
  fs::path path;
  int64_t label = 0;
};

class ImageFolder final : public Dataset {
 public:
  ImageFolder(std::vector<LabelledFile> files, int64_t size, int64_t channels, int64_t classes)
      : files_(std::move(files)), size_(size), channels_(channels), classes_(classes) {}

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t channels() const override { return channels_; }
  int64_t image_size() const override { return size_; }
  int64_t classes() const override { return classes_; }

  Example get(int64_t index) const override {
    const auto& [path, label] = files_.at(static_cast<size_t>(index));
    return {center_crop(read_image(path, channels_), size_), classes_ > 0 ? label : 0};
  }

 private:
  std::vector<LabelledFile> files_;
  int64_t size_;
  int64_t channels_;
  int64_t classes_;
};

std::vector<fs::path> subfolders_by_name(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    std::error_code unreadable;
    if (!hidden && entry->is_directory(unreadable)) folders.push_back(entry->path());
  }
  if (failed) throw InputError(concat(folder.string(), ": can't be listed: ", failed.message()));
  std::ranges::sort(folders);
  return folders;
}

// What is wrong with an image file, as far as its first bytes tell; "" when nothing is.
std::string format_mistake(const fs::path& file) {
  std::error_code failed;
  const auto bytes = fs::file_size(file, failed);
  if (failed) return concat("can't be read: ", failed.message());
  if (bytes == 0) return "empty file; restore or remove it";
  if (!cv::haveImageReader(file.string()))
    return "no image of a known format; convert it to PNG or JPEG, or remove it";
  return "";
}

// The images of `folder` itself when it has any, otherwise those of its subfolders; `classes` is 0 or their
// number.
struct Listing {
  std::vector<LabelledFile> files;
  int64_t classes = 0;
};

Listing list_images(const fs::path& folder) {
  Listing flat;
  for (auto& file : image_files(folder)) flat.files.push_back({std::move(file)});
  Listing nested;
  std::vector<std::string> empty;
  for (const auto& subfolder : subfolders_by_name(folder)) {
    const auto files = image_files(subfolder);
    if (files.empty())
      empty.push_back(concat(subfolder.string(), ": a class without images; add some or remove it"));
    for (const auto& file : files) nested.files.push_back({file, nested.classes});
    ++nested.classes;
  }
  if (!flat.files.empty() && !nested.files.empty()) {
    throw InputError(concat(folder.string(), ": images both beside subfolders (",
                            flat.files.front().path.filename(), ") and inside (",
                            nested.files.front().path.lexically_relative(folder),
                            "); put each into the subfolder of its class, or all into one folder"));
  }
  if (!flat.files.empty()) return flat;
  if (nested.files.empty()) {
    throw InputError(concat(folder.string(),
                            ": no images; expected PNG, JPEG, WebP, BMP or TIFF files, directly or in "
                            "one subfolder a class"));
  }
  if (!empty.empty()) throw InputError(empty);
  return nested;
}

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const fs::path& path, int64_t size, int64_t channels,
                                           bool labels) {
  if (!fs::is_directory(path)) {
    throw InputError(
        concat(path.string(), ": no folder; give a folder of images or of one subfolder a class"));
  }
  Listing listing = list_images(path);
  FileMistakes mistakes;
  for (const auto& [file, label] : listing.files) {
    if (const std::string mistake = format_mistake(file); !mistake.empty()) {
      mistakes.add(concat(file.string(), ": ", mistake));
    }
  }
  mistakes.throw_if_any(path.string());
  return std::make_unique<ImageFolder>(std::move(listing.files), size, channels,
                                       labels ? listing.classes : 0);
}

}  // namespace cm
