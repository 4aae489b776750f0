#include "cm/data/dataset.h"
#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> cifar10_seeds() {
  const std::string record = std::string(1, '\3') + std::string(3072, '\x7f');
  return {record, record + record};
}

void read_cifar10(const std::string& input) {
  const auto images = open_dataset({.kind = {"cifar10"}, .path = file_of(input, "batch.bin").string()});
  require(images->size() == static_cast<int64_t>(input.size()) / 3073, "each record is an image");
  require(images->get(images->size() - 1).label < images->classes(), "labels are classes");
}

const Listed kCifar10({"cifar10", cifar10_seeds, read_cifar10});

}  // namespace
}  // namespace cm::fuzz
