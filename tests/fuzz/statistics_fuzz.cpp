// What statistics files may hold. Their arrays come from safetensors bytes, which have no checksums that
// would keep the fuzzer out; the zip around them is npz_fuzz.cpp's.
#include "cm/io/safetensors.h"
#include "cm/metrics/statistics_file.h"
#include "fuzz/fuzz_target.h"
#include "support/same_tensors.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> statistics_seeds() {
  const auto saved = [](const NamedTensors& arrays) {
    return bytes_of("seed.safetensors", [&](const auto& path) { save_safetensors(path, arrays); });
  };
  const Tensor mean = torch::arange(2, torch::kFloat64);
  return {saved({{"mu", mean}, {"sigma", torch::eye(2, torch::kFloat64)}}),
          saved({{"mu", torch::ones(1)},
                 {"sigma", torch::ones({1, 1})},
                 {"mu_s", mean},
                 {"sigma_s", torch::eye(2)},
                 {"features", torch::tensor({112, 120}, torch::kUInt8)}})};
}

void read_statistics(const std::string& input) {
  const NpzArrays arrays = load_safetensors(file_of(input, "input.safetensors")).tensors;
  const auto statistics = statistics_in(arrays, "input");
  if (!statistics) return;
  const std::filesystem::path path = scratch() / "statistics.npz";
  save_statistics(path, *statistics);
  const auto again = statistics_in(load_npz(path, kStatisticsArrays), "again");
  require(again && again->identity == statistics->identity &&
              test::same_bits(again->features.mean, statistics->features.mean) &&
              test::same_bits(again->features.covariance, statistics->features.covariance),
          "statistics that are written and read are the same");
}

const Listed kStatistics({"statistics", statistics_seeds, read_statistics});

}  // namespace
}  // namespace cm::fuzz
