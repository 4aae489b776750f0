#include "image_files.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "dataset_json.h"
#include "file_tree.h"

namespace cm {
namespace {

// Throws what open_for_reading throws.
std::string beginning_of(const std::filesystem::path& file) {
  std::ifstream in = open_for_reading(file);
  std::string bytes(kSignatureBytes, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  return bytes;
}

// What is wrong with an image, as far as can be told without decoding it. An archive's are not unpacked for
// their first bytes.
void check_image(const FileTree& tree, const FileTree::File& image, FileMistakes& mistakes) {
  std::string mistake;
  if (image_suffix(image.name) == ImageSuffix::unreadable) {
    mistake = "images of this format are not read; convert it to PNG or JPEG, or remove it";
  } else if (tree.archive) {
    if (tree.archive->entries()[image.entry].bytes == 0) mistake = format_mistake("");
  } else {
    try {
      mistake = format_mistake(beginning_of(tree.path / image.name));
    } catch (const InputError& unreadable) {
      mistakes.add(unreadable.what());
    }
  }
  if (!mistake.empty()) mistakes.add(concat(tree.where(image), ": ", mistake));
}

// The files of a tree by what they are for.
struct Sorted {
  std::vector<FileTree::File> images;
  std::optional<FileTree::File> labels;         // dataset.json
  std::optional<FileTree::File> labels_deeper;  // one that is not where it belongs
  LeftOut others;
};

Sorted sorted(std::vector<FileTree::File> files) {
  Sorted result;
  for (auto& file : files) {
    if (image_suffix(file.name) != ImageSuffix::none) {
      result.images.push_back(std::move(file));
    } else if (file.name == kLabelFile) {
      result.labels = std::move(file);
    } else {
      result.others.add(file.name);
      if (file.name.ends_with(concat('/', kLabelFile))) result.labels_deeper = std::move(file);
    }
  }
  return result;
}

// The folder directly in the tree that the image lies in, or "".
std::string_view top_folder(const FileTree::File& image) {
  const std::string_view name = image.name;
  const size_t slash = name.find('/');
  return slash == std::string_view::npos ? "" : name.substr(0, slash);
}

bool lies_deeper(const FileTree::File& image) {
  return std::ranges::count(image.name, '/') > 1;
}

// Refuses layouts of which nobody knows what the classes are.
void check_layout(const FileTree& images) {
  const auto lies_inside = [](const auto& image) { return !top_folder(image).empty(); };
  const auto inside = std::ranges::count_if(images.files, lies_inside);
  const auto beside = std::ssize(images.files) - inside;
  if (inside > 0 && beside > 0) {
    throw InputError(concat(images.path.string(), ": images both beside folders (", beside, ", ",
                            std::ranges::find_if_not(images.files, lies_inside)->name, ") and inside (",
                            inside, ", ", std::ranges::find_if(images.files, lies_inside)->name,
                            "); put each into the folder of its class, or all into one folder"));
  }
  if (images.folders.size() == 1 && std::ranges::all_of(images.files, lies_deeper)) {
    throw InputError(concat(images.path.string(), ": its only folder, ", *images.folders.begin(),
                            ", holds folders of images; give that folder, or an archive of what is in it"));
  }
}

// The class of each image by its folder; none where the images lie in no folder.
std::vector<int64_t> labels_by_folder(const FileTree& images, FileMistakes& mistakes) {
  check_layout(images);
  std::vector<int64_t> labels;
  if (top_folder(images.files.front()).empty()) return labels;
  auto image = images.files.begin();
  int64_t label = 0;
  for (const std::string& folder : images.folders) {
    const size_t before = labels.size();
    for (; image != images.files.end() && top_folder(*image) == folder; ++image) labels.push_back(label);
    if (labels.size() == before) {
      mistakes.add(
          concat((images.path / folder).string(), ": a class without images; add some or remove it"));
    }
    ++label;
  }
  return labels;
}

std::vector<int64_t> labels_of(const FileTree& images, const Sorted& files, FileMistakes& mistakes) {
  if (files.labels) {
    const Json root = parse_json(images.read(*files.labels));
    return labels_in_json(root, images.where(*files.labels), images.files, mistakes);
  }
  if (files.labels_deeper) {
    throw InputError(concat(
        images.where(*files.labels_deeper),
        ": lies a folder too deep; give that folder, or an archive of what is in it, or remove the file"));
  }
  return labels_by_folder(images, mistakes);
}

}  // namespace

ImageFiles::ImageFiles(const std::filesystem::path& path, bool labels) : StoredImages(path) {
  FileMistakes mistakes;
  FileTree tree = read_tree(path, mistakes);
  Sorted files = sorted(std::move(tree.files));
  tree.files = std::move(files.images);
  for (const auto& image : tree.files) check_image(tree, image, mistakes);
  mistakes.throw_if_any(path.string());
  log_left_out(tree, "image(s)", files.others, "without an image's suffix");
  if (tree.files.empty()) {
    throw InputError(
        concat(path.string(), ": no images; expected ", kImageFormats, " files, or folders of them"));
  }
  if (labels) labels_ = labels_of(tree, files, mistakes);
  mistakes.throw_if_any(path.string());
  if (!labels_.empty()) classes_ = std::ranges::max(labels_) + 1;
  images_ = std::make_unique<const FileTree>(std::move(tree));
  if (images_->archive) read(0, 1);  // tells latents from images, before anything is made for them
}

ImageFiles::~ImageFiles() = default;

int64_t ImageFiles::size() const {
  return std::ssize(images_->files);
}

std::string ImageFiles::where(int64_t index) const {
  return images_->where(images_->files.at(static_cast<size_t>(index)));
}

Tensor ImageFiles::read(int64_t index, int64_t channels) const {
  const auto& image = images_->files.at(static_cast<size_t>(index));
  return decode_image(images_->read(image), channels, images_->where(image));
}

DataKind image_files_kind() {
  return {.name = "folder",
          .help = "image files in a folder or .zip, class = folder or as dataset.json says",
          .data_path = "a folder of images, or a .zip of them, in one folder a class where they have classes",
          .open_stored = [](const std::filesystem::path& path, bool labels) -> std::unique_ptr<StoredImages> {
            return std::make_unique<ImageFiles>(path, labels);
          },
          .recognises = [](const std::filesystem::path& path) { return is_directory(path) || is_zip(path); },
          .recognised = "folder or .zip of images"};
}

}  // namespace cm
