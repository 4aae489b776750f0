#include "pair_making.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "set_making.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

void make_file(const SetFile& file, const PairSet& set, int64_t batch, const TakeWalks& take,
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
  const auto make = [&](const SetFile& file, const std::function<void(int64_t)>& taken) {
    make_file(file, set, batch, take, taken);
  };
  make_files(world, folder, files_of(set, folder), anew ? pair_files_in(folder) : std::vector<fs::path>(),
             "pairs", make);
}

}  // namespace cm
