#include "cm/cli/info_command.h"

#include <filesystem>
#include <iostream>

#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/training/checkpoint.h"
#include "cm/training/model.h"
#include "cm/yaml/writer.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

Json tensors_of(const SafetensorsHeader& header) {
  Json tensors = Json::object();
  for (const auto& [name, info] : header.tensors)
    tensors[name] = {{"dtype", info.dtype}, {"shape", info.shape}};
  return tensors;
}

void print_for_people(const Json& info, const ModelOptions& options) {
  std::cout << "weights     " << info["weights"].get<std::string>() << "\n            "
            << info["why"].get<std::string>() << "\nparameters  " << info["parameters"] << " ("
            << human_count(info["parameters"].get<double>()) << ")\n";
  if (info.contains("step"))
    std::cout << "step        " << info["step"] << "\naverages    " << json_text(info["ema_rates"])
              << ", whose start weighs " << json_text(info["start_shares"]) << '\n';
  if (options.distilled_steps)
    std::cout << "sampled in  " << *options.distilled_steps << " Euler steps (progressive distillation)\n";
  std::cout << to_yaml(options);
  if (!info.contains("tensors")) return;
  std::cout << "tensors:\n";
  for (const auto& [name, tensor] : info["tensors"].items()) {
    std::cout << "  " << name << ": " << tensor["dtype"].get<std::string>() << ' '
              << json_text(tensor["shape"]) << '\n';
  }
}

}  // namespace

int run_info_command(const InfoCommand& command) {
  const auto [file, why] = resolve_weights(command.path);
  const WeightFile weights = read_weight_header(file);
  const ModelOptions& options = weights.options;
  const auto network = make_network(options.network, options.image);
  check_weights(weights.weights, *network, file.string());
  const SafetensorsHeader header = read_safetensors_header(file);
  Json info = {{"weights", file.string()},
               {"why", why},
               {"parameters", parameter_count(*network)},
               {"model", json_of(options)}};
  if (const auto summary = checkpoint_summary(file.parent_path())) {
    info["step"] = summary->step;
    for (const char* key : {"ema_rates", "start_shares"}) info[key] = Json::array();
    for (const AverageState& average : summary->averages) {
      info["ema_rates"].push_back(average.rate);
      info["start_shares"].push_back(average.start_share);
    }
  }
  if (command.tensors) info["tensors"] = tensors_of(header);
  if (command.json) {
    std::cout << json_text(info, 2) << '\n';
  } else {
    print_for_people(info, options);
  }
  return 0;
}

}  // namespace cm
