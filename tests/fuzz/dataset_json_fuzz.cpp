#include "src/data/dataset_json.h"

#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> dataset_json_seeds() {
  return {R"({"labels": [["00000/img0.png", 3], ["b.png", 0]]})", R"({"labels": null})",
          R"({"labels": [["b.png", 999999], ["00000/img0.png", 1]], "more": {}})"};
}

void read_dataset_json(const std::string& input) {
  const std::vector<FileTree::File> images = {{"00000/img0.png"}, {"b.png"}};
  FileMistakes mistakes;
  const std::vector<int64_t> labels = labels_in_json(parse_json(input), "dataset.json", images, mistakes);
  mistakes.throw_if_any("dataset.json");
  require(labels.empty() || labels.size() == images.size(), "each image has a label, or none");
}

const Listed kDatasetJson({"dataset_json", dataset_json_seeds, read_dataset_json});

}  // namespace
}  // namespace cm::fuzz
