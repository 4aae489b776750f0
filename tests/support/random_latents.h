// Sets of latents (cm/data/latents.h) that are random, and a VAE that is.
#pragma once

#include <iomanip>

#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/io/npy.h"
#include "cm/kernels/normal.h"
#include "support/zip_file.h"

namespace cm::test {

// fp32 [count, 2 · channels, side, side]: means about 0, deviations in [0.5, 1).
inline Tensor random_moments(int64_t count, int64_t channels, int64_t side, uint64_t seed = 41) {
  const std::vector<int64_t> shape = {channels, side, side};
  const Tensor mean = normal({.seed = seed}, sample_range(0, count), shape);
  const Tensor spread = normal({.seed = seed + 1}, sample_range(0, count), shape).abs();
  return torch::cat({mean, 0.5 + 0.5 * spread / (1 + spread)}, 1);
}

// As EDM2's dataset tool names them; `json` is dataset.json, "" for none.
inline std::filesystem::path write_latents(const std::filesystem::path& path, const Tensor& moments,
                                           const std::string& json) {
  ZipEntries entries;
  for (int64_t i = 0; i < moments.size(0); ++i) {
    entries.emplace_back(concat("00000/img-mean-std-", std::setw(8), std::setfill('0'), i, ".npy"),
                         npy_bytes(moments[i]));
  }
  if (!json.empty()) entries.emplace_back("dataset.json", json);
  write_zip(path, entries);
  return path;
}

}  // namespace cm::test
