#include "cm/io/npz.h"

#include "fuzz/fuzz_target.h"
#include "src/io/npy_header.h"
#include "support/same_tensors.h"
#include "support/zip_file.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> npz_seeds() {
  const NpzArrays arrays = {{"arr_0", torch::arange(12, torch::kUInt8).view({1, 2, 2, 3})},
                            {"arr_1", torch::tensor({3}, torch::kInt64)}};
  const std::string array = bytes_of("seed.npz", [&](const auto& path) { save_npz(path, arrays); });
  const std::string npy = format_npy_header(torch::kUInt8, {4}) + "abcd";
  const auto deflated = [&](const auto& path) { test::write_zip(path, {{"a.npy", npy}}, /*deflated=*/true); };
  return {array, bytes_of("deflated.npz", deflated)};
}

void read_npz(const std::string& input) {
  const std::filesystem::path path = file_of(input, "input.npz");
  const NpzArrays arrays = load_npz(path);
  save_npz(path, arrays);
  require(test::same_tensors(load_npz(path), arrays), "arrays that are written and read are the same");
}

const Listed kNpz({"npz", npz_seeds, read_npz});

}  // namespace
}  // namespace cm::fuzz
