// Latents in the format of EDM2's dataset tool (NVlabs/edm2, dataset_tool.py encode): a zip or folder of
// 00000/img-mean-std-00000000.npy, …, each fp32 [2 · L, h, h], the mean and then the standard deviation that
// a VAE's encoder gives for an image, with the classes in dataset.json. cm-data --encode makes them
// (docs/latents.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cm/data/dataset.h"

namespace cm {

struct DataKind;
struct FileTree;

inline constexpr DatasetKind kLatentsKind{"latents"};

// Of latents z = mean + std · ε, channel by channel.
struct LatentStatistics {
  std::vector<double> mean;
  std::vector<double> std;
};

// Sums of moments that come one after another.
class LatentSums {
 public:
  // fp32 [2 · L, h, w]: means, then standard deviations.
  void add(const Tensor& moments);
  LatentStatistics statistics() const;

 private:
  int64_t count_ = 0;  // numbers of a channel
  Tensor first_;       // [L] in double, of z and of z²
  Tensor second_;
};

// Whenever a latent is read it is drawn anew: x = normalised(mean + std · ε), ε from the seed and the place
// in the stream. The first file alone is read when it is opened.
class LatentDataset final : public NumberDataset {
 public:
  // Without `labels` there are no classes. InputError with the path where there are no latents, a file is
  // damaged or of another shape, options.mean or std have other channels, and where neither dataset.json nor
  // options.pixels tells how the VAE was told pixels, or both do and disagree.
  LatentDataset(const std::filesystem::path& path, const LatentOptions& options, bool labels);
  ~LatentDataset() override;

  int64_t size() const override;
  int64_t channels() const override { return channels_; }
  int64_t image_size() const override { return side_; }
  int64_t classes() const override { return classes_; }
  const LatentDataset* latents() const override { return this; }
  int64_t read(int64_t index, const StreamPlace& place, float* x, float* x_T) const override;

  // Where they live, as far as the data and the options tell it: the VAE may be unknown.
  const LatentSpace& space() const { return space_; }

  // fp32 [2 · L, h, h] of one image, as stored.
  Tensor moments(int64_t index) const;

  // Of at most `most` latents, spread evenly over all.
  LatentStatistics statistics(int64_t most) const;

 private:
  std::unique_ptr<const FileTree> files_;
  std::vector<int64_t> labels_;  // empty where there are none
  int64_t classes_ = 0;
  int64_t channels_ = 0;
  int64_t side_ = 0;
  LatentSpace space_;
};

// Whether latents are what a config tells of them: a root mean square of 1 in each channel of (z − mean) /
// std, where it gives both, and of `sigma_data` when normalised. A line of the log where one is off by more
// than a factor of 1.5; InputError, with `path`, by 5.
void check_statistics(const LatentStatistics& of, const LatentScaling& scaling, double sigma_data,
                      const std::string& path);

DataKind latents_kind();

}  // namespace cm
