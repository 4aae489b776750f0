// Making a set of latents (cm/data/latents.h). What encodes them goes into files of a folder beside the
// archive, so that several processes can do it and go on where they were interrupted; then these become the
// archive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cm/base/tensor.h"
#include "cm/data/latents.h"
#include "cm/data/set_files.h"

namespace cm {

struct LatentSet {
  int64_t count = 0;     // of all files
  int64_t channels = 0;  // L
  int64_t side = 0;      // h
  int64_t classes = 0;   // 0: no labels
  LatentOrigin origin = {};
  std::string made_of = {};  // the images, for people: JSON
};

template <class Visitor>
void fields(Visitor& visit, LatentSet& o) {
  visit("count", o.count, "how many latents there are");
  visit("channels", o.channels, "L");
  visit("side", o.side, "h");
  visit("classes", o.classes, "number of classes; 0: no labels");
  visit("origin", o.origin, "what decides the latents of an image");
  visit("made_of", o.made_of, "the images");
}

// x.zip.unfinished of x.zip.
std::filesystem::path latent_folder(const std::filesystem::path& archive);
std::vector<SetFile> files_of(const LatentSet& set, const std::filesystem::path& folder);
// Those that are in a folder, of any set.
std::vector<std::filesystem::path> latent_files_in(const std::filesystem::path& folder);

// Writes a file atomically: `moments` fp32 [count, 2 · L, h, h] and, of a set with classes, `labels` int64
// [count].
void save_latents(const SetFile& file, const LatentSet& set, const Tensor& moments, const Tensor& labels);

// InputError, with the remedy, when the folder has files of another set than this one.
void refuse_other_latents(const std::filesystem::path& folder, const LatentSet& set);

// Makes the archive of a set whose files are all there; the same files make the same archive. `done` is told
// how many latents are behind. Gives their statistics.
LatentStatistics write_latent_zip(const std::filesystem::path& archive, const LatentSet& set,
                                  const std::vector<SetFile>& files,
                                  const std::function<void(int64_t latents)>& done);

}  // namespace cm
