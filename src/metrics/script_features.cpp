#include "script_features.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <array>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "whole_fp32.h"

namespace cm {
namespace {

constexpr auto kTakes =
    "a module that takes uint8 [N, C, H, W] and gives features [N, D], or these and logits [N, classes], is "
    "needed";

// TorchScript's messages are whole tracebacks, whose last line is the mistake; LibTorch's own have the frames
// of C++ behind them, some also the place in its sources before them, "[enforce fail at FILE:LINE] . ", or
// guesses at what befell the file.
std::string mistake_in(const std::exception& error) {
  constexpr std::string_view kEndOfPlace = "] . ";
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = of_torch != nullptr ? of_torch->what_without_backtrace() : error.what();
  text.erase(text.find_last_not_of(" \n") + 1);
  text.erase(0, text.rfind('\n') + 1);
  if (text.starts_with("[enforce fail at ")) text.erase(0, text.find(kEndOfPlace) + kEndOfPlace.size());
  if (text.find("locating file constants.pkl") != std::string::npos) {
    return "it holds weights and no code";
  }
  return text.substr(0, text.find(". This is an internal miniz error"));
}

bool is_matrix_of(const torch::IValue& value, int64_t rows) {
  return value.isTensor() && value.toTensor().dim() == 2 && value.toTensor().size(0) == rows &&
         value.toTensor().size(1) > 0 && value.toTensor().is_floating_point();
}

Activations activations_in(const torch::IValue& answer, int64_t images, const std::string& path) {
  Activations activations;
  const auto matrix = [](const torch::IValue& value) { return value.toTensor().to(torch::kFloat32); };
  if (is_matrix_of(answer, images)) {
    activations.features = matrix(answer);
    return activations;
  }
  if (answer.isTuple() && answer.toTupleRef().size() == 2) {
    const auto& elements = answer.toTupleRef().elements();
    if (is_matrix_of(elements[0], images) && is_matrix_of(elements[1], images)) {
      activations.features = matrix(elements[0]);
      activations.logits = matrix(elements[1]);
      return activations;
    }
  }
  const std::string got = answer.isTensor() ? concat("a tensor ", answer.toTensor().sizes(), " of ",
                                                     answer.toTensor().dtype().name())
                                            : concat("a ", answer.tagKind());
  throw InputError(concat(path, ": gives ", got, " for ", images, " image(s); ", kTakes));
}

// What a module says of itself; nothing where `text` is empty.
Details facts_in(const std::string& text, const std::string& path) {
  Details facts;
  if (text.empty()) return facts;
  const Json json = parse_json(text);
  if (!json.is_object() || !std::ranges::all_of(json, [](const Json& fact) { return fact.is_string(); })) {
    throw InputError(concat(path, ": its ", kFactsFile,
                            " is not a JSON object of strings, as {\"name\": \"mine\"}; save the module with "
                            "such a one, or without"));
  }
  for (const auto& [key, value] : json.items()) facts[key] = value;
  return facts;
}

}  // namespace

bool is_torchscript(const std::filesystem::path& file) {
  std::array<char, 4> start{};
  open_for_reading(file).read(start.data(), start.size());
  return start == std::array<char, 4>{'P', 'K', '\3', '\4'};
}

ScriptFeatures::Loaded ScriptFeatures::load(const std::filesystem::path& file, torch::Device device) {
  Loaded loaded;
  torch::jit::ExtraFilesMap extra = {{kFactsFile, ""}};
  try {
    loaded.module = std::make_unique<torch::jit::Module>(torch::jit::load(file.string(), device, extra));
    loaded.module->eval();
  } catch (const std::exception& error) {
    throw InputError(concat(file.string(), ": can't be loaded as a TorchScript module (", mistake_in(error),
                            "); torch.jit.save writes them"));
  }
  loaded.details = facts_in(extra.at(kFactsFile), file.string());
  if (const auto name = loaded.details.extract("name")) loaded.name = name.mapped();
  return loaded;
}

ScriptFeatures::ScriptFeatures(const std::filesystem::path& file, const ImageShape& shape,
                               torch::Device device)
    : file_(file), device_(device), loaded_(load(file, device)) {
  const Tensor black = torch::zeros({1, shape.channels, shape.height, shape.width}, torch::kUInt8);
  const Activations found = (*this)(black, {});
  width_ = found.features.size(1);
  if (found.logits) classes_ = found.logits->size(1);
}

ScriptFeatures::~ScriptFeatures() = default;

Activations ScriptFeatures::operator()(const Tensor& pixels, const Wanted&) const {
  const WholeFp32 precision;
  torch::IValue answer;
  try {
    answer = no_grad([&] { return loaded_.module->forward({pixels.to(device_)}); });
  } catch (const std::exception& error) {
    throw InputError(concat(file_.string(), ": fails on images of ",
                            to_string(ImageShape{pixels.size(1), pixels.size(2), pixels.size(3)}), " (",
                            mistake_in(error), "); ", kTakes));
  }
  return activations_in(answer, pixels.size(0), file_.string());
}

}  // namespace cm
