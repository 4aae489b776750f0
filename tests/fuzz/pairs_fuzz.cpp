// A file of pairs, alone in its folder.
#include "cm/data/pairs.h"
#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> pairs_seeds() {
  const auto saved = [](const PairSet& set) {
    const Tensor x = torch::zeros({set.count, set.channels, set.image_size, set.image_size});
    const Tensor labels = set.classes > 0 ? torch::arange(set.count) : Tensor();
    const auto save = [&](const auto& path) { save_pairs({path, 0, set.count}, set, x, x, labels); };
    return bytes_of("seed.safetensors", save);
  };
  return {saved({.count = 2, .channels = 1, .image_size = 2, .sigma_max = 80}), saved({.count = 3,
                                                                                       .channels = 3,
                                                                                       .image_size = 1,
                                                                                       .classes = 3,
                                                                                       .sigma_max = 80,
                                                                                       .guidance = 2,
                                                                                       .made_by = "{}"})};
}

void read_pairs(const std::string& input) {
  std::filesystem::create_directories(scratch() / "pairs");
  const std::filesystem::path path = file_of(input, "pairs/pairs-000000.safetensors");
  const PairDataset pairs(path.parent_path(), /*labels=*/true);
  require(pairs.size() > 0 && pairs.set().sigma_max > 0, "a set has pairs that start somewhere");
  const Example last = pairs.get(pairs.size() - 1);
  require(last.label >= 0 && last.label < std::max<int64_t>(1, pairs.classes()), "a label is a class");
}

const Listed kPairs({"pairs", pairs_seeds, read_pairs});

}  // namespace
}  // namespace cm::fuzz
