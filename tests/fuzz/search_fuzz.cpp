// The record and the evaluations of a search that is resumed, a '|' between them.
#include "fuzz/fuzz_target.h"
#include "src/cli/search_folder.h"

namespace cm::fuzz {
namespace {

const Json kSettings = {{"metric", "fid"}, {"weights", {{"path", "a"}, {"sha256", "b"}}}, {"num", 100}};

std::vector<std::string> search_seeds() {
  return {
      R"({"settings": {"metric": "fid", "weights": {"path": "c", "sha256": "b"}, "num": 100}, "result": null})"
      "|{\"points\": [0, 22], \"sigmas\": [80.0, 1.5], \"value\": 0.5, \"seconds\": 2}\n{\"points\": [0",
      R"({"settings": {"weights": {"path": "a", "sha256": "b"}, "num": 100, "metric": "fid", "more": null}})"};
}

void resume_search(const std::string& input) {
  std::vector<std::string> texts = pieces(input, '|');
  texts.resize(2);
  file_of(texts[0], "search.json");
  file_of(texts[1], "evaluations.jsonl");
  SearchFolder search(scratch(), kSettings, /*resume=*/true);
  const int64_t before = search.evaluations();
  search.add({.points = {0, 39, 1}, .sigmas = {80, 1, 2}, .value = 0.25, .seconds = 1});
  require(search.value_of({0, 39, 1}) == 0.25 && search.evaluations() >= before, "a search goes on");
}

const Listed kSearch({"search", search_seeds, resume_search});

}  // namespace
}  // namespace cm::fuzz
