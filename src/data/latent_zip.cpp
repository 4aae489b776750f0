#include "cm/data/latent_zip.h"

#include <algorithm>
#include <iomanip>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/io/npy.h"
#include "cm/io/safetensors.h"
#include "cm/io/zip_writer.h"
#include "dataset_json.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLatentFiles = "latents";
constexpr const char* kLatentSetKey = "latents";
constexpr const char* kMoments = "moments";

Metadata metadata_of(const LatentSet& set) {
  return {{kLatentSetKey, json_text(json_of(set))}};
}

// A thousand a folder, as EDM2's.
std::string latent_name(int64_t index) {
  const std::string digits = concat(std::setw(8), std::setfill('0'), index);
  return concat(digits.substr(0, 5), "/img-mean-std-", digits, ".npy");
}

// The files one after another, of which one is held.
class LatentFiles {
 public:
  explicit LatentFiles(const std::vector<SetFile>& files) : files_(files) {}

  // fp32 [2 · L, h, h]; `index` not smaller than before.
  Tensor moments(int64_t index) { return held(index).at(kMoments)[index - files_[at_].first]; }
  int64_t label(int64_t index) {
    const NamedTensors& tensors = held(index);
    const auto labels = tensors.find("labels");
    return labels == tensors.end() ? 0 : labels->second[index - files_[at_].first].item<int64_t>();
  }

 private:
  const NamedTensors& held(int64_t index) {
    const size_t before = at_;
    while (index >= files_[at_].first + files_[at_].count) ++at_;
    if (at_ != before || tensors_.empty()) tensors_ = load_safetensors(files_[at_].path).tensors;
    return tensors_;
  }

  const std::vector<SetFile>& files_;
  size_t at_ = 0;
  NamedTensors tensors_;
};

}  // namespace

fs::path latent_folder(const fs::path& archive) {
  return archive.string() + ".unfinished";
}

std::vector<SetFile> files_of(const LatentSet& set, const fs::path& folder) {
  const int64_t bytes = 2 * set.channels * set.side * set.side * int64_t{sizeof(float)};
  return set_files(folder, kLatentFiles, set.count, bytes);
}

std::vector<fs::path> latent_files_in(const fs::path& folder) {
  return set_files_in(folder, kLatentFiles);
}

void save_latents(const SetFile& file, const LatentSet& set, const Tensor& moments, const Tensor& labels) {
  TORCH_CHECK(moments.sizes() == at::IntArrayRef({file.count, 2 * set.channels, set.side, set.side}) &&
                  moments.scalar_type() == torch::kFloat32 && labels.defined() == (set.classes > 0),
              "no latents of this file");
  NamedTensors tensors = {{kMoments, moments}};
  if (labels.defined()) tensors["labels"] = labels;
  save_safetensors(file.path, tensors, metadata_of(set));
}

void refuse_other_latents(const fs::path& folder, const LatentSet& set) {
  for (const fs::path& path : latent_files_in(folder)) {
    if (read_safetensors_header(path).metadata == metadata_of(set)) continue;
    throw InputError(
        concat(path.string(),
               ": holds latents of other images or another VAE, from a command that did not end; "
               "repeat that, name another archive, or start over with --force"));
  }
}

LatentStatistics write_latent_zip(const fs::path& archive, const LatentSet& set,
                                  const std::vector<SetFile>& files,
                                  const std::function<void(int64_t latents)>& done) {
  LatentFiles latents(files);
  LatentSums sums;
  std::vector<LabelledFile> labels;  // of those that are written already
  const uint64_t size = npy_bytes(torch::empty({2 * set.channels, set.side, set.side})).size();
  std::vector<NewZipEntry> entries;
  for (int64_t index = 0; index < set.count; ++index) {
    const auto bytes = [&, index]() -> ZipBytes {
      const Tensor moments = latents.moments(index);
      sums.add(moments);
      labels.push_back({latent_name(index), latents.label(index)});
      done(index);
      return {npy_bytes(moments)};
    };
    entries.push_back({latent_name(index), bytes, size});
  }
  entries.push_back({kLabelFile, [&]() -> ZipBytes {
                       done(set.count);
                       return {json_of_labels(labels, set.classes > 0, set.origin)};
                     }});
  write_zip(archive, entries);
  return sums.statistics();
}

}  // namespace cm
