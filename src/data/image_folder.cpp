#include "cm/data/image_folder.h"

#include "cm/data/image_files.h"
#include "cm/data/resize.h"

namespace cm {
namespace {

class ImageFolder final : public Dataset {
 public:
  ImageFolder(const std::filesystem::path& path, int64_t size, int64_t channels, bool labels)
      : images_(path, labels), size_(size), channels_(channels) {}

  int64_t size() const override { return images_.size(); }
  int64_t channels() const override { return channels_; }
  int64_t image_size() const override { return size_; }
  int64_t classes() const override { return images_.classes(); }

  Example get(int64_t index) const override {
    return {center_crop(images_.read(index, channels_), size_), images_.label(index)};
  }

 private:
  ImageFiles images_;
  int64_t size_;
  int64_t channels_;
};

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const std::filesystem::path& path, int64_t size, int64_t channels,
                                           bool labels) {
  return std::make_unique<ImageFolder>(path, size, channels, labels);
}

}  // namespace cm
