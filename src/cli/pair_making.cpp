#include "pair_making.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// How long a rank that is done waits for those that still make a file.
constexpr double kSecondsForAFile = 24 * 3600;

// The folder, and in it nothing that is to be made. By all ranks together.
void prepare_folder(const World& world, const fs::path& folder, bool anew) {
  if (world.is_first()) {
    fs::create_directories(folder);
    remove_unfinished(folder);
    if (anew) {
      for (const fs::path& old : pair_files_in(folder)) fs::remove(old);
    }
  }
  world.barrier();
}

std::vector<PairFile> missing_files(const PairSet& set, const fs::path& folder) {
  std::vector<PairFile> files = files_of(set, folder);
  const auto all = files.size();
  std::erase_if(files, [](const PairFile& file) { return fs::exists(file.path); });
  if (files.size() < all) {
    log_info(concat(folder.string(), ": has ", all - files.size(), " of ", all, " files already"));
  }
  return files;
}

int64_t pairs_of(const std::vector<PairFile>& files) {
  int64_t pairs = 0;
  for (const PairFile& file : files) pairs += file.count;
  return pairs;
}

void make_file(const PairFile& file, const PairSet& set, int64_t batch, const TakeWalks& take,
               const std::function<void(int64_t walks)>& taken) {
  std::vector<Walks> parts;
  for (int64_t made = 0; made < file.count; made += batch) {
    const int64_t n = std::min(batch, file.count - made);
    parts.push_back(take(file.first + made, n));
    taken(n);
  }
  const auto joined = [&](Tensor Walks::*part) {
    std::vector<Tensor> tensors;
    for (const Walks& walks : parts) tensors.push_back((walks.*part).cpu());
    return torch::cat(tensors);
  };
  const Tensor x = joined(&Walks::x);
  if (!torch::isfinite(x).all().item<bool>()) {
    throw InputError(concat("--pairs: of the walks ", file.first, " to ", file.first + file.count - 1,
                            " some end in no numbers; check the checkpoint's weights"));
  }
  save_pairs(file, set, joined(&Walks::x_T), x, set.classes > 0 ? joined(&Walks::labels) : Tensor());
}

}  // namespace

void refuse_drawn_noise(const SamplerOptions& sampler) {
  if (!needs_of(sampler).noise) return;
  throw InputError(concat("--pairs: the ", to_string(sampler.kind), " sampler",
                          sampler.churn.s_churn > 0 ? " with --s-churn" : "",
                          " draws noise on its way, so that an image does not follow from its start alone; ",
                          is_consistency_sampler(sampler.kind) ? "use --sampler onestep"
                                                               : "use --sampler heun without --s-churn"));
}

void make_pairs(const World& world, const fs::path& folder, const PairSet& set, int64_t batch, bool anew,
                const TakeWalks& take) {
  prepare_folder(world, folder, anew);
  const auto missing = missing_files(set, folder);
  world.barrier();  // none is written before all have looked
  const Share share = share_of(static_cast<int64_t>(missing.size()), world);
  std::optional<Progress> progress;
  int64_t done = set.count - pairs_of(missing);
  if (world.is_first()) progress.emplace("pairs", set.count, done);
  const auto taken = [&](int64_t walks) {  // the other ranks keep about the same pace
    done = std::min(set.count, done + walks * world.size());
    if (progress) progress->update(done);
  };
  for (int64_t i = 0; i < share.count; ++i) {
    make_file(missing[static_cast<size_t>(share.first + i)], set, batch, take, taken);
  }
  world.set_timeout(kSecondsForAFile);
  world.barrier();
}

}  // namespace cm
