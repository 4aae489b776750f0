#include "cm/data/dataset.h"

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/data/cifar10.h"
#include "cm/data/digits.h"
#include "cm/data/image_folder.h"
#include "cm/data/npz_dataset.h"
#include "cm/data/patches.h"

namespace cm {
namespace {

constexpr int64_t kPatchSize = 32;

std::string expected_path(DatasetKind kind) {
  switch (kind) {
    case DatasetKind::digits:
      return "the digits' CSV, data/digits/digits.csv.gz of this project";
    case DatasetKind::folder:
      return "a folder of images, or a .zip of them, in one folder a class where they have classes";
    case DatasetKind::patches:
      return "a picture, or a folder or .zip of pictures, data/photographs of this project among them";
    case DatasetKind::cifar10:
      return "the folder cifar-10-batches-bin of cifar-10-binary.tar.gz, or one of its .bin files";
    case DatasetKind::npz:
      return "an .npz file with the images as arr_0, uint8 [N, S, S, C]";
  }
  TORCH_CHECK(false, "unknown kind of data");
}

std::unique_ptr<Dataset> open_kind(const DataOptions& options) {
  switch (options.kind) {
    case DatasetKind::digits:
      return open_digits(options.path, options.labels);
    case DatasetKind::folder:
      return open_image_folder(options.path, options.image_size.value(),
                               options.channels.value_or(kDefaultChannels), options.labels);
    case DatasetKind::patches:
      return open_patches(options.path, options.image_size.value_or(kPatchSize),
                          options.channels.value_or(kDefaultChannels), options.labels,
                          options.patches.value_or(PatchOptions()));
    case DatasetKind::cifar10:
      return open_cifar10(options.path, options.labels);
    case DatasetKind::npz:
      return open_npz_dataset(options.path, options.labels);
  }
  TORCH_CHECK(false, "unknown kind of data");
}

}  // namespace

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
  if (options.path.empty()) complain("path", concat("must be given: ", expected_path(options.kind)));
  if (options.channels && *options.channels != 1 && *options.channels != 3) {
    complain("channels", concat("must be 1 (grey) or 3 (RGB), got ", *options.channels));
  }
  if (options.kind == DatasetKind::folder && !options.image_size) {
    complain("image_size",
             "must be given for image files: the side in pixels that its images are brought to");
  }
  if (options.patches && options.kind != DatasetKind::patches) {
    complain("patches", concat("belongs to kind patches, but kind is ", to_string(options.kind),
                               "; remove the section or change kind"));
  }
}

std::unique_ptr<Dataset> open_dataset(const DataOptions& options) {
  std::vector<std::string> mistakes;
  validate(options, [&](const std::string& key, const std::string& sentence) {
    mistakes.push_back(concat("data.", key, " ", sentence));
  });
  if (!mistakes.empty()) throw InputError(mistakes);

  std::error_code ignored;
  if (!std::filesystem::exists(options.path, ignored)) {
    throw InputError(concat(options.path, ": not found; data.path must be ", expected_path(options.kind)));
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
