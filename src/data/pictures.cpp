#include "cm/data/pictures.h"

#include <algorithm>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "kinds.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

class StoredDataset final : public StoredImages {
 public:
  StoredDataset(std::unique_ptr<Dataset> dataset, const fs::path& path)
      : StoredImages(path), dataset_(std::move(dataset)) {}

  int64_t size() const override { return dataset_->size(); }
  int64_t classes() const override { return dataset_->classes(); }
  std::optional<int64_t> channels() const override { return dataset_->channels(); }
  Example get(int64_t index, int64_t) const override { return dataset_->get(index); }
  std::string where(int64_t index) const override { return concat(path(), "#", index); }

 private:
  std::unique_ptr<Dataset> dataset_;
};

}  // namespace

std::unique_ptr<StoredImages> stored_images(std::unique_ptr<Dataset> dataset, const fs::path& path) {
  return std::make_unique<StoredDataset>(std::move(dataset), path);
}

fs::path stored_path(const fs::path& path) {
  std::error_code failed;
  if (fs::exists(path / "samples.npz", failed)) return path / "samples.npz";
  if (fs::exists(path, failed)) return path;
  throw InputError(concat(path.string(), ": ", failed ? failed.message() : "no such file or folder"));
}

std::unique_ptr<StoredImages> open_stored_images(const fs::path& path) {
  const fs::path place = stored_path(path);
  const auto& kinds = data_kinds();
  const auto kind = std::find_if(kinds.rbegin(), kinds.rend(), [&](const DataKind& any) {
    return any.recognises && any.recognises(place);
  });
  if (kind == kinds.rend()) return nullptr;
  if (kind->open_stored) return kind->open_stored(place, true);
  return stored_images(kind->open({.kind = {kind->name}, .path = place.string()}), place);
}

std::string stored_image_kinds() {
  std::vector<std::string> paths;
  for (const DataKind& kind : data_kinds()) {
    if (kind.recognises) paths.emplace_back(kind.recognised);
  }
  return enumerate(paths, "or");
}

std::vector<Picture> read_pictures(const fs::path& source, int64_t channels, int64_t limit) {
  const auto images = open_stored_images(source);
  if (!images) return {{source.string(), read_image(source, channels), std::nullopt}};
  if (const int64_t stored = images->channels().value_or(channels); stored != channels) {
    throw InputError(
        concat(images->path(), ": has images of ", stored, " channel(s), and the model's have ", channels));
  }
  std::vector<Picture> pictures;
  for (int64_t i = 0; i < std::min(images->size(), limit); ++i) {
    const Example image = images->get(i, channels);
    pictures.push_back({images->where(i), image.pixels, std::nullopt});
    if (images->classes() > 0) pictures.back().label = image.label;
  }
  return pictures;
}

}  // namespace cm
