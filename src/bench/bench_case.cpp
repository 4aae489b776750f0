#include "cm/bench/bench_case.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/json.h"

namespace cm {
namespace {

struct KeyCollector {
  std::vector<std::string> keys;
  template <class... Rest>
  void operator()(const std::string& key, const Rest&...) {
    keys.push_back(key);
  }
};

std::vector<std::string> keys_of_a_case() {
  KeyCollector collector;
  BenchCase bench_case;
  fields(collector, bench_case);
  return collector.keys;
}

// Without these there is nothing to time.
const std::vector<std::string>& required_keys() {
  static const std::vector<std::string> keys = {"image_size", "model_channels",        "channel_mult",
                                                "res_blocks", "attention_resolutions", "head_channels",
                                                "batch",      "sample_batch"};
  return keys;
}

template <class Options>
Options unet_of(const BenchCase& bench_case) {
  Options network;
  network.channels = bench_case.model_channels;
  network.channel_mult = bench_case.channel_mult;
  network.res_blocks = bench_case.res_blocks;
  network.attention_resolutions = bench_case.attention_resolutions;
  network.head_channels = bench_case.head_channels;
  network.dropout = bench_case.dropout;
  return network;
}

NetworkOptions network_of(const BenchCase& bench_case) {
  switch (bench_case.architecture) {
    case BenchArchitecture::adm: {
      auto network = unet_of<AdmOptions>(bench_case);
      network.scale_shift_norm = bench_case.scale_shift_norm;
      network.resblock_updown = bench_case.resblock_updown;
      return network;
    }
    case BenchArchitecture::edm2:
      return unet_of<Edm2Options>(bench_case);
    case BenchArchitecture::meanflow: {
      auto network = unet_of<DdpmppOptions>(bench_case);
      network.feature_mult = 2;
      network.resample_filter = ResampleFilter::binomial;
      return network;
    }
    case BenchArchitecture::autoencoder:
      throw InputError(concat(bench_case.name, ": an autoencoder is timed by the jobs encode and decode"));
  }
  TORCH_INTERNAL_ASSERT(false, "not an architecture");
}

}  // namespace

BenchCase read_bench_case(const std::filesystem::path& path) {
  const Json json = parse_json(read_file(path));
  if (!json.is_object()) throw InputError(concat(path.string(), ": is not a JSON object; see bench/cases"));
  std::vector<std::string> mistakes;
  const std::vector<std::string> known = keys_of_a_case();
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    mistakes.push_back(concat(path.string(), ": unknown key ", key, did_you_mean(key, known)));
  }
  for (const auto& key : required_keys()) {
    if (!json.contains(key)) mistakes.push_back(concat(path.string(), ": ", key, " is missing"));
  }
  if (!mistakes.empty()) throw InputError(mistakes);
  BenchCase bench_case;
  bench_case.name = path.stem().string();
  set_from_json(json, path.string(), bench_case);
  return bench_case;
}

ModelOptions model_options_of(const BenchCase& bench_case, Parameterization parameterization) {
  ModelOptions options;
  options.network = network_of(bench_case);
  common_options(options.network).second_time = is_flow_map(parameterization);
  options.image = {
      .channels = bench_case.in_channels, .size = bench_case.image_size, .classes = bench_case.num_classes};
  options.parameterization = parameterization;
  return options;
}

}  // namespace cm
