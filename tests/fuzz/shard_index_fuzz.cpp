#include "cm/io/safetensors.h"
#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> shard_index_seeds() {
  return {R"({"weight_map": {"a": "shard.safetensors", "b": "shard.safetensors"}})",
          R"({"metadata": {"total_size": 4}, "weight_map": {"a": "shard.safetensors"}})"};
}

void read_shard_index(const std::string& input) {
  static const bool kShard = [] {
    save_safetensors(scratch() / "shard.safetensors", {{"a", torch::zeros(1)}, {"b", torch::ones(2)}});
    return true;
  }();
  const auto path = file_of(input, "model.safetensors.index.json");
  const NamedTensors tensors = load_safetensors(path).tensors;
  require(kShard && !tensors.empty(), "an index that is taken has tensors");
}

const Listed kShardIndex({"shard_index", shard_index_seeds, read_shard_index});

}  // namespace
}  // namespace cm::fuzz
