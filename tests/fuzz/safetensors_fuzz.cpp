#include "cm/io/safetensors.h"

#include "fuzz/fuzz_target.h"
#include "support/same_tensors.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> safetensors_seeds() {
  const auto saved = [](const NamedTensors& tensors, const Metadata& metadata = {}) {
    return bytes_of("seed.safetensors", [&](const auto& path) { save_safetensors(path, tensors, metadata); });
  };
  return {saved({}), saved({{"a", torch::arange(6, torch::kFloat32).view({2, 3})}}),
          saved({{"mask", torch::ones({3}, torch::kBool)},
                 {"half", torch::ones({2, 1}, torch::kFloat16)},
                 {"none", torch::empty({0, 4}, torch::kInt64)},
                 {"number", torch::tensor(7, torch::kUInt8)}},
                {{"format", "pt"}, {"kind", "seed"}})};
}

void read_safetensors(const std::string& input) {
  const std::filesystem::path path = file_of(input, "input.safetensors");
  const SafetensorsFile file = load_safetensors(path);
  const SafetensorsHeader header = read_safetensors_header(path);
  require(header.metadata == file.metadata, "the header alone has the file's metadata");
  require(header.tensors.size() == file.tensors.size(), "the header alone has the file's tensors");
  save_safetensors(path, file.tensors, file.metadata);
  const SafetensorsFile again = load_safetensors(path);
  require(again.metadata == file.metadata, "metadata that are written and read are the same");
  require(test::same_tensors(again.tensors, file.tensors), "tensors that are written and read are the same");
}

const Listed kSafetensors({"safetensors", safetensors_seeds, read_safetensors});

}  // namespace
}  // namespace cm::fuzz
