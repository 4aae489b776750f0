#include "cm/data/dataset.h"

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/data/latents.h"
#include "cm/data/pairs.h"
#include "cm/data/resize.h"
#include "kinds.h"

namespace cm {
namespace {

// Image files of any size, decoded when they are asked for.
class SizedImages final : public Dataset {
 public:
  SizedImages(std::unique_ptr<StoredImages> images, int64_t size, int64_t channels)
      : images_(std::move(images)), size_(size), channels_(channels) {}

  int64_t size() const override { return images_->size(); }
  int64_t channels() const override { return channels_; }
  int64_t image_size() const override { return size_; }
  int64_t classes() const override { return images_->classes(); }
  Example get(int64_t index) const override {
    const Example image = images_->get(index, channels_);
    return {center_crop(image.pixels, size_), image.label};
  }

 private:
  std::unique_ptr<StoredImages> images_;
  int64_t size_;
  int64_t channels_;
};

std::unique_ptr<Dataset> open_kind(const DataOptions& options) {
  const DataKind& kind = row_of(options.kind);
  if (kind.open) return kind.open(options);
  return std::make_unique<SizedImages>(kind.open_stored(options.path, options.labels), *options.image_size,
                                       options.channels.value_or(kDefaultChannels));
}

}  // namespace

const std::vector<EnumName<DatasetKind>>& dataset_kind_names() {
  static const std::vector<EnumName<DatasetKind>> names = [] {
    std::vector<EnumName<DatasetKind>> all;
    for (const DataKind& kind : data_kinds()) all.push_back({{kind.name}, kind.name});
    return all;
  }();
  return names;
}

std::string dataset_kinds_help() {
  std::vector<std::string> kinds;
  for (const DataKind& kind : data_kinds()) kinds.push_back(concat(kind.name, ": ", kind.help));
  return join(kinds, "; ");
}

Example NumberDataset::get(int64_t /*index*/) const {
  TORCH_CHECK(false, "these data are no pictures");
}

Examples first_examples(const Dataset& dataset, int64_t count) {
  TORCH_CHECK(count >= 1 && count <= dataset.size(), count, " examples of ", dataset.size());
  std::vector<Tensor> pixels;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < count; ++i) {
    Example example = dataset.get(i);
    pixels.push_back(std::move(example.pixels));
    labels.push_back(example.label);
  }
  return {torch::stack(pixels), dataset.classes() > 0 ? torch::tensor(labels, torch::kInt64) : Tensor()};
}

void validate(const DataOptions& options, const Complain& complain) {
  if (options.path.empty()) complain("path", concat("must be given: ", row_of(options.kind).data_path));
  if (options.channels && *options.channels != 1 && *options.channels != 3) {
    complain("channels", concat("must be 1 (grey) or 3 (RGB), got ", *options.channels));
  }
  const DataKind& kind = row_of(options.kind);
  if (kind.takes_size() && !kind.default_size && !options.image_size) {
    complain("image_size",
             "must be given for image files: the side in pixels that its images are brought to");
  }
  if (options.horizontal_flip && options.kind == kPairsKind) {
    complain("horizontal_flip", "must be false for pairs: a mirrored image is not what its noise becomes");
  }
  if (options.horizontal_flip && options.kind == kLatentsKind) {
    complain("horizontal_flip",
             "must be false for latents: mirrored, they are not those of a mirrored image");
  }
  if (options.kind == kLatentsKind && !options.latents) {
    complain(
        "latents",
        "must say how the latents are normalised: scale: 0.18215 as Stable Diffusion's convention is, or "
        "mean, std and scale (docs/latents.md)");
  }
  if (options.latents && options.kind != kLatentsKind) {
    complain("latents", concat("belongs to kind latents, but kind is ", to_string(options.kind),
                               "; remove the section or change kind"));
  }
  if (options.patches && kind.name != "patches") {
    complain("patches", concat("belongs to kind patches, but kind is ", to_string(options.kind),
                               "; remove the section or change kind"));
  }
}

std::optional<DatasetShape> shape_of(const DataOptions& options) {
  const DataKind& kind = row_of(options.kind);
  const auto size = options.image_size ? options.image_size : kind.default_size;
  std::optional<DatasetShape> shape = kind.shape;
  if (kind.takes_size() && size) shape = {options.channels.value_or(kDefaultChannels), *size};
  if (options.latents && !options.latents->mean.empty() && size)
    shape = {static_cast<int64_t>(options.latents->mean.size()), *size};
  if (shape && !options.labels) shape->classes = 0;
  return shape;
}

std::unique_ptr<Dataset> open_dataset(const DataOptions& options) {
  refuse_mistakes("data.", [&](const Complain& complain) { validate(options, complain); });

  std::error_code ignored;
  if (!std::filesystem::exists(options.path, ignored)) {
    throw InputError(concat(options.path, ": not found; data.path must be ", row_of(options.kind).data_path));
  }
  auto dataset = open_kind(options);
  if (options.image_size && *options.image_size != dataset->image_size()) {
    throw InputError(concat(options.path, ": its images are ", dataset->image_size(),
                            " pixels wide, but data.image_size is ", *options.image_size,
                            "; leave it out (only image files are resized)"));
  }
  if (options.channels && *options.channels != dataset->channels()) {
    log_warning(concat(options.path, ": its images have ", dataset->channels(),
                       " channel(s) and keep them; data.channels ", *options.channels,
                       " is for image files and patches alone"));
  }
  return dataset;
}

}  // namespace cm
