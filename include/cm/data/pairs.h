// Pairs: where a walk from noise to an image starts, and the image that it ends in. `cm-sample --pairs` makes
// them, knowledge distillation learns from them (cm/training/kd_objective.h).
//
// A set of pairs is a folder of files, pairs-000000.safetensors, pairs-000001.safetensors, …, so that any
// number of them is made by several processes, goes on where it was interrupted, and is read without being
// held. Each file has
//
//   x_T     fp32 [n, C, S, S], the starts: unit normal noise times the walk's first σ
//   x       fp32 [n, C, S, S] in [−1, 1], the images, or what a model of latents makes
//   labels  int64 [n], where there are classes
//
// and in its metadata `pairs`, a PairSet as JSON, and `made_by`, both the same in every file. The noise is
// stored, although that of cm-sample is a function of its seed: so other programs can read pairs and make
// them, and a replayed noise makes pairs as well. A file is also one for cm-sample's --noise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/base/tensor.h"
#include "cm/data/dataset.h"
#include "cm/data/set_files.h"

namespace cm {

struct DataKind;

inline constexpr DatasetKind kPairsKind{"pairs"};

struct PairSet {
  int64_t count = 0;                                  // of all files
  int64_t channels = 0;                               // C
  int64_t image_size = 0;                             // S
  int64_t classes = 0;                                // 0: no labels
  double sigma_max = 0;                               // the first σ
  std::optional<double> guidance = std::nullopt;      // the weight of what guided the walks, if anything did
  std::string made_by = {};                           // by what they were made, for people: JSON
  std::optional<LatentSpace> latents = std::nullopt;  // where the images are latents
};

template <class Visitor>
void fields(Visitor& visit, PairSet& o) {
  visit("count", o.count, "how many pairs there are", within(1, kMostSamples));
  visit("channels", o.channels, "C", within(1, kMostChannels));
  visit("image_size", o.image_size, "S", within(1, kLargestSide));
  visit("classes", o.classes, "number of classes; 0: no labels", within(0, kMaxClasses));
  visit("sigma_max", o.sigma_max, "the noise level at which the walks start", above(0));
  visit("guidance", o.guidance, "the weight of what guided the walks", at_least(0));
  visit("latents", o.latents, "of which VAE and how normalised the images are, where they are latents");
}

// The files of a set in a folder.
std::vector<SetFile> files_of(const PairSet& set, const std::filesystem::path& folder);

// Writes a file atomically: x_T and x [count, C, S, S] and, of a set with classes, labels [count].
void save_pairs(const SetFile& file, const PairSet& set, const Tensor& x_T, const Tensor& x,
                const Tensor& labels);

// The files of pairs that are in a folder, of any set.
std::vector<std::filesystem::path> pair_files_in(const std::filesystem::path& folder);

// InputError, with the remedy, when the folder has files of another set than this one.
void refuse_other_pairs(const std::filesystem::path& folder, const PairSet& set);

// As pictures they are rounded to 8 bits; read() gives them as they are. Labels alone are in memory.
class PairDataset final : public NumberDataset {
 public:
  // Without `labels` there are no classes. InputError with the path where there are no pairs, some of the set
  // are missing, or a file is damaged or another's.
  PairDataset(const std::filesystem::path& folder, bool labels);

  int64_t size() const override { return set_.count; }
  int64_t channels() const override { return set_.channels; }
  int64_t image_size() const override { return set_.image_size; }
  int64_t classes() const override { return set_.classes; }
  Example get(int64_t index) const override;
  const PairDataset* pairs() const override { return this; }
  bool has_starts() const override { return true; }
  int64_t read(int64_t index, const StreamPlace& /*place*/, float* x, float* x_T) const override {
    return read(index, x_T, x);
  }

  const PairSet& set() const { return set_; }

  // Writes a pair, C · S · S numbers each, and gives its label. From any thread; InputError when the file can
  // no longer be read.
  int64_t read(int64_t index, float* x_T, float* x) const;

 private:
  struct File {
    std::filesystem::path path;
    int64_t first;      // its first pair
    int64_t starts_at;  // bytes from the start of the file
    int64_t images_at;
  };

  // Adds a file whose first pair is number `first`; gives how many it has.
  int64_t open(const std::filesystem::path& path, int64_t first, bool labels);
  int64_t values() const { return set_.channels * set_.image_size * set_.image_size; }

  PairSet set_;
  std::vector<File> files_;
  std::vector<int64_t> labels_;  // empty where there are none
};

DataKind pairs_kind();

}  // namespace cm
