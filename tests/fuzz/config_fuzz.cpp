// Configs of training runs with overrides, each behind a '|'.
#include "cm/run/run_config.h"
#include "cm/yaml/reader.h"
#include "cm/yaml/writer.h"
#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> config_seeds() {
  std::vector<std::string> seeds = {
      "data: {path: images}\nmodel: {channels: 32}\n|train.steps=1e3|data.path=a #2|model.channel_mult=[1, "
      "2]",
      "data: {path: \"x\"}\nobjective: cd\nteacher: {checkpoint: 't'}\n|cd={n: 12, distance: l1}|cd.n=3"};
  for (const char* name : {"cifar10/ict", "cifar10/pd", "digits/sct", "digits/ct_progressive"}) {
    std::ifstream in(std::string(CM_SOURCE_DIR) + "/configs/" + name + ".yaml");
    std::string& text = seeds.emplace_back();
    for (std::string line; std::getline(in, line);) text += line.starts_with('#') ? "" : line + "\n";
  }
  return seeds;
}

void read_config_text(const std::string& input) {
  std::vector<std::string> overrides = pieces(input, '|');
  const std::string text = std::move(overrides.front());
  overrides.erase(overrides.begin());
  const auto config = read_config<RunConfig>(parse_yaml(text, "run.yaml"), overrides);
  const std::string written = to_yaml(config);
  require(to_yaml(read_config<RunConfig>(parse_yaml(written, "again.yaml"))) == written,
          "a config that is written and read is the same");
}

const Listed kConfig({"config", config_seeds, read_config_text});

}  // namespace
}  // namespace cm::fuzz
