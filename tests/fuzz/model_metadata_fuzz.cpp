// What a weight file says of its model and its average, beside the weights of a small network.
#include "cm/io/json.h"
#include "cm/training/model.h"
#include "cm/training/weight_file.h"
#include "fuzz/fuzz_target.h"
#include "support/tiny_model.h"

namespace cm::fuzz {
namespace {

const Model& small_model() {
  static const Model model = test::tiny_model(test::tiny_options(), 1);
  return model;
}

std::vector<std::string> model_metadata_seeds() {
  std::vector<std::string> seeds;
  for (const auto& options : {test::tiny_options(), test::tiny_options(Parameterization::edm)}) {
    seeds.push_back(json_text(json_of(options)));
  }
  ModelOptions rich = test::tiny_options();
  rich.sampling = {.grid = 40, .sigmas = {80, 1.5}, .full_noise = true};
  rich.distilled_steps = 4;
  rich.guidance = 1.5;
  seeds.push_back(json_text(json_of(rich)) + "|" +
                  json_text(json_of(AverageState{.rate = 0.9, .start_share = 0.5})));
  seeds.emplace_back(R"({"image": {"channels": 1, "size": 4, "classes": 3}})");
  return seeds;
}

void read_model_metadata(const std::string& input) {
  const std::vector<std::string> texts = pieces(input, '|');
  Metadata metadata = {{"format", "consistency.cpp 1"}, {"model", texts.front()}};
  if (texts.size() > 1) metadata["average"] = texts[1];
  // Bytes that are no UTF-8 would come out of a header as others.
  for (const auto& [key, text] : metadata) {
    if (json_text(Json(text)).find("\xef\xbf\xbd") != std::string::npos) throw InputError("no UTF-8");
  }
  const std::filesystem::path path = scratch() / "model.safetensors";
  save_safetensors(path, small_model().named_weights(), metadata);
  const WeightFile header = read_weight_header(path);
  average_in(metadata, "model");
  const Model model = load_model(path, torch::kCPU);
  require(json_of(model.options()) == json_of(header.options), "the header alone says what the model is");
}

const Listed kModelMetadata({"model_metadata", model_metadata_seeds, read_model_metadata});

}  // namespace
}  // namespace cm::fuzz
