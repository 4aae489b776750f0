// Runs on data that are at hand, and the models that they start from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/run/run_config.h"
#include "cm/run/training_run.h"
#include "cm/training/weight_file.h"
#include "cm/yaml/reader.h"
#include "support/message_of.h"
#include "support/random_latents.h"
#include "support/random_pairs.h"
#include "support/shipped_data.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"

namespace cm {

// Of a model of the digits, by default a diffusion model, which can be guided.
inline ModelOptions digits_model(Parameterization parameterization = Parameterization::edm) {
  ModelOptions options = test::tiny_options(parameterization);
  options.image = {.channels = 1, .size = 8, .classes = 10};
  common_options(options.network).dropout = 0.2;
  options.label_dropout = 0.1;
  return options;
}

// A weight file of such a model, by a name of its own.
inline std::string weight_file_of(const ModelOptions& options, const std::string& name) {
  static const test::TemporaryFolder folder;
  const std::filesystem::path path = folder / name;
  if (!std::filesystem::exists(path)) {
    save_weights(path, options, test::tiny_model(options, 1).named_weights());
  }
  return path.string();
}

inline std::string model_file(Parameterization parameterization) {
  return weight_file_of(digits_model(parameterization), to_string(parameterization));
}

// Pairs of the digits' size, of a guided teacher.
inline std::string digits_pairs() {
  static const test::TemporaryFolder folder;
  static const test::RandomPairs saved = test::save_random_pairs(
      folder.path(),
      {.count = 6, .channels = 1, .image_size = 8, .classes = 10, .sigma_max = 80, .guidance = 3}, 4);
  return folder.path().string();
}

inline RunConfig tiny_digits_run(const std::string& objective, const std::vector<std::string>& overrides) {
  const Method method = method_by_default(from_name<ObjectiveKind>(objective).value());
  const std::string data =
      method.takes_pairs ? concat("kind: pairs, path: ", digits_pairs()) : concat("path: ", test::kDigits);
  std::string text = concat("objective: ", objective, "\ndata: {", data,
                            "}\nmodel: {channels: 32, channel_mult: [1], res_blocks: 1, "
                            "attention_resolutions: []}\ntrain: {steps: 4, batch_size: 4}\n");
  const bool trig = path_kind(method.parameterizations.front()) == PathKind::trig;
  const auto diffusion = model_file(trig ? Parameterization::trig_diffusion : Parameterization::edm);
  const auto start = method.keeps_start ? model_file(Parameterization::skip) : diffusion;
  if (method.needs_teacher) text += concat("teacher: {checkpoint: ", diffusion, "}\n");
  if (method.needs_init) text += concat("init: {checkpoint: ", start, "}\n");
  return read_config<RunConfig>(parse_yaml(text, "run.yaml"), overrides);
}

// A run on random latents of 2 × 4 × 4 and two classes.
inline RunConfig latents_config(const std::vector<std::string>& overrides) {
  static const test::TemporaryFolder folder;
  static const std::filesystem::path path = test::write_latents(
      folder / "l.zip", test::random_moments(4, 2, 4),
      R"({"labels": [["00000/img-mean-std-00000000.npy", 0], ["00000/img-mean-std-00000001.npy", 1],
                     ["00000/img-mean-std-00000002.npy", 0], ["00000/img-mean-std-00000003.npy", 1]],
          "latents": {"vae_hash": "abc", "pixels": "unit"}})");
  const std::string text =
      concat("objective: edm\ndata: {kind: latents, path: ", path.string(),
             ", latents: {mean: [0, 0], std: [1.3, 1.3], scale: 0.5}}\nmodel: {channels: 32, "
             "channel_mult: [1], res_blocks: 1, attention_resolutions: []}\n"
             "train: {steps: 4, batch_size: 4}\n");
  return read_config<RunConfig>(parse_yaml(text, "run.yaml"), overrides);
}

// What is wrong with a run that can't be built.
inline std::string mistake_of(const RunConfig& config) {
  return test::message_of<InputError>([&] { const TrainingRun run(config, torch::kCPU); });
}

}  // namespace cm
