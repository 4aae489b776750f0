#include "cm/data/latents.h"

#include <algorithm>
#include <cmath>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/io/npy.h"
#include "cm/kernels/normal.h"
#include "dataset_json.h"
#include "file_tree.h"
#include "kinds.h"

namespace cm {
namespace {

constexpr std::string_view kLatentsPath =
    "a zip or folder of latents, which cm-data --encode or EDM2's dataset_tool.py makes";

template <class... Parts>
[[noreturn]] void reject_latents(const std::string& where, const Parts&... parts) {
  throw InputError(concat(where, ": ", parts...));
}

// The files of a tree by what they are for: latents stay in it.
struct SortedLatents {
  std::optional<FileTree::File> labels;  // dataset.json
  LeftOut others;
};

SortedLatents sort_latents(FileTree& tree) {
  SortedLatents sorted;
  std::erase_if(tree.files, [&](const FileTree::File& file) {
    if (file.name.ends_with(".npy")) return false;
    if (file.name == kLabelFile) {
      sorted.labels = file;
    } else {
      sorted.others.add(file.name);
    }
    return true;
  });
  return sorted;
}

// All have one shape, so those of an archive, which tells sizes without unpacking, one size.
void check_sizes(const FileTree& tree, FileMistakes& mistakes) {
  if (!tree.archive) return;
  const auto bytes = [&](const FileTree::File& file) { return tree.archive->entries()[file.entry].bytes; };
  for (const auto& file : tree.files) {
    if (bytes(file) == bytes(tree.files.front())) continue;
    mistakes.add(concat(tree.where(file), ": has ", bytes(file), " bytes, but ", tree.files.front().name,
                        " has ", bytes(tree.files.front()), "; all latents must have one shape"));
  }
}

// [2 · L, h, h]
void check_moments(const Tensor& moments, const std::string& where) {
  const bool fits = moments.scalar_type() == torch::kFloat32 && moments.dim() == 3 && moments.numel() > 0 &&
                    moments.size(0) % 2 == 0 && moments.size(1) == moments.size(2);
  if (fits) return;
  reject_latents(where, "is ", moments.scalar_type(), ' ', moments.sizes(),
                 "; expected the means and deviations of square latents, Float [2 · L, h, h]",
                 moments.scalar_type() == torch::kUInt8 ? "; images are data.kind folder" : "");
}

PixelRange pixels_of(const std::optional<LatentOrigin>& origin, const LatentOptions& options,
                     const std::string& path) {
  if (!origin && !options.pixels) {
    reject_latents(
        path,
        "does not say how its VAE was told pixels; say it by data.latents.pixels: unit (0 to 1) for "
        "what EDM2's dataset_tool.py made, symmetric (−1 to 1) for others");
  }
  if (origin && options.pixels && origin->pixels != *options.pixels) {
    reject_latents(path, "its latents are of ", to_string(origin->pixels),
                   " pixels, but data.latents.pixels is ", to_string(*options.pixels), "; leave that out");
  }
  return origin ? origin->pixels : *options.pixels;
}

LatentSpace space_of(const std::optional<LatentOrigin>& origin, const LatentOptions& options,
                     const std::string& path) {
  LatentSpace space;
  static_cast<LatentScaling&>(space) = options;
  if (origin) space.vae_hash = origin->vae_hash;
  space.pixels = pixels_of(origin, options, path);
  return space;
}

std::string list_of(const std::vector<double>& values) {
  std::vector<std::string> words;
  for (const double value : values) words.push_back(significant(value, 3));
  return concat('[', join(words), ']');
}

// `size` is 1 where a config tells the truth.
void judge(double size, const std::string& sentence) {
  constexpr double kNoticeable = 1.5;
  constexpr double kAbsurd = 5;
  const double factor = std::max(size, 1 / size);
  if (!(factor < kAbsurd)) throw InputError(sentence);
  if (factor > kNoticeable) log_warning(sentence);
}

}  // namespace

void LatentSums::add(const Tensor& moments) {
  const auto parts = moments.to(torch::kFloat64).flatten(1).chunk(2);
  const Tensor& mean = parts[0];
  const Tensor first = mean.sum(1);
  const Tensor second = (mean.square() + parts[1].square()).sum(1);
  first_ = first_.defined() ? first_ + first : first;
  second_ = second_.defined() ? second_ + second : second;
  count_ += mean.size(1);
}

LatentStatistics LatentSums::statistics() const {
  TORCH_CHECK(count_ > 0, "of no latents there are no statistics");
  const Tensor mean = first_ / count_;
  const Tensor std = (second_ / count_ - mean.square()).clamp_min(0).sqrt();
  const auto numbers = [](const Tensor& values) {
    return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
  };
  return {numbers(mean.contiguous()), numbers(std.contiguous())};
}

LatentDataset::LatentDataset(const std::filesystem::path& path, const LatentOptions& options, bool labels) {
  FileMistakes mistakes;
  FileTree tree = read_tree(path, mistakes);
  const SortedLatents sorted = sort_latents(tree);
  if (tree.files.empty() && !mistakes.any()) {
    reject_latents(path.string(), "has no latents (.npy); data.path must be ", kLatentsPath,
                   ", and images are data.kind folder");
  }
  check_sizes(tree, mistakes);
  mistakes.throw_if_any(path.string());
  log_left_out(tree, "latents", sorted.others, "that are no latents");
  std::optional<LatentOrigin> origin;
  if (sorted.labels) {
    const Json root = parse_json(tree.read(*sorted.labels));
    const std::string where = tree.where(*sorted.labels);
    if (labels) labels_ = labels_in_json(root, where, tree.files, mistakes);
    origin = latent_origin_in_json(root, where);
  }
  mistakes.throw_if_any(path.string());
  if (!labels_.empty()) classes_ = std::ranges::max(labels_) + 1;
  files_ = std::make_unique<const FileTree>(std::move(tree));
  const Tensor first = parse_npy(files_->read(files_->files.front()), files_->where(files_->files.front()));
  check_moments(first, files_->where(files_->files.front()));
  channels_ = first.size(0) / 2;
  side_ = first.size(1);
  check_scaling(options, channels_, "data.latents");
  space_ = space_of(origin, options, path.string());
}

LatentDataset::~LatentDataset() = default;

int64_t LatentDataset::size() const {
  return std::ssize(files_->files);
}

Tensor LatentDataset::moments(int64_t index) const {
  TORCH_CHECK(index >= 0 && index < size(), "index ", index, " of ", size(), " latents");
  const auto& file = files_->files[static_cast<size_t>(index)];
  const std::string where = files_->where(file);
  Tensor stored = parse_npy(files_->read(file), where);
  check_moments(stored, where);
  if (stored.size(0) != 2 * channels_ || stored.size(1) != side_) {
    reject_latents(where, "is ", stored.sizes(), ", but ", files_->files.front().name, " is [", 2 * channels_,
                   ", ", side_, ", ", side_, "]; all latents must have one shape");
  }
  return stored;
}

// A plain loop, as the loader's.
int64_t LatentDataset::read(int64_t index, const StreamPlace& place, float* x, float* /*x_T*/) const {
  const Tensor stored = moments(index);
  const RandomKey key{place.seed, Purpose::latents, static_cast<uint32_t>(place.sample >> 32)};
  const Tensor noise = normal(key, {place.sample}, {channels_, side_, side_});
  const LatentMap map = map_of(space_, channels_);
  const int64_t area = side_ * side_;
  const float* mean = stored.const_data_ptr<float>();
  const float* std = mean + channels_ * area;
  const float* e = noise.const_data_ptr<float>();
  for (int64_t c = 0; c < channels_; ++c) {
    const float factor = map.factor.const_data_ptr<float>()[c];
    const float offset = map.offset.const_data_ptr<float>()[c];
    for (int64_t i = 0; i < area; ++i) *x++ = (*mean++ + *std++ * *e++) * factor + offset;
  }
  return labels_.empty() ? 0 : labels_[static_cast<size_t>(index)];
}

LatentStatistics LatentDataset::statistics(int64_t most) const {
  const int64_t count = std::min(most, size());
  LatentSums sums;
  for (int64_t i = 0; i < count; ++i) sums.add(moments(i * size() / count));
  return sums.statistics();
}

void check_statistics(const LatentStatistics& of, const LatentScaling& scaling, double sigma_data,
                      const std::string& path) {
  const auto at = [](const std::vector<double>& values, size_t c, double otherwise) {
    return values.empty() ? otherwise : values[c];
  };
  double squares = 0;
  for (size_t c = 0; c < of.mean.size(); ++c) {
    const double mean = (of.mean[c] - at(scaling.mean, c, 0)) / at(scaling.std, c, 1);
    const double std = of.std[c] / at(scaling.std, c, 1);
    const double square = mean * mean + std * std;
    squares += square;
    if (scaling.mean.empty() || scaling.std.empty()) continue;
    judge(std::sqrt(square), concat(path, ": channel ", c,
                                    " of its latents is not what data.latents.mean and std say: they are "
                                    "about mean: ",
                                    list_of(of.mean), ", std: ", list_of(of.std)));
  }
  const double size = scaling.scale * std::sqrt(squares / static_cast<double>(of.mean.size()));
  judge(size / sigma_data,
        concat(path, ": its latents, normalised by data.latents, have a root mean square of ",
               significant(size, 2), ", but sigma.data is ", shortest(sigma_data),
               "; one of both should be changed"));
}

DataKind latents_kind() {
  return {.name = kLatentsKind.name,
          .help = "what a VAE makes of images, as cm-data --encode or EDM2 write it",
          .data_path = kLatentsPath,
          .open = [](const DataOptions& options) -> std::unique_ptr<Dataset> {
            return std::make_unique<LatentDataset>(options.path, *options.latents, options.labels);
          }};
}

}  // namespace cm
