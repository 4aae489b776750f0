#include "checkpoint_layout.h"

#include <algorithm>
#include <charconv>
#include <iomanip>

#include "cm/base/text.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEmaPrefix = "ema-";
constexpr std::string_view kWeightSuffix = ".safetensors";
constexpr std::string_view kPowerPrefix = "power-";
constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kStdPrefix = "-std-";

// The number in a name "PREFIX NUMBER SUFFIX".
template <class Number>
std::optional<Number> number_in(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() < prefix.size() + suffix.size() || !name.starts_with(prefix) || !name.ends_with(suffix))
    return std::nullopt;
  const char* end = name.data() + name.size() - suffix.size();
  Number number{};
  const auto [rest, failure] = std::from_chars(name.data() + prefix.size(), end, number);
  return failure == std::errc() && rest == end ? std::optional(number) : std::nullopt;
}

}  // namespace

std::string average_name(const AverageState& average) {
  return average.power_std ? concat(kPowerPrefix, shortest(*average.power_std), kWeightSuffix)
                           : concat(kEmaPrefix, shortest(average.rate), kWeightSuffix);
}

std::optional<AverageState> average_named(const fs::path& file) {
  const std::string name = file.filename().string();
  if (const auto rate = number_in<double>(name, kEmaPrefix, kWeightSuffix))
    return AverageState{.rate = *rate};
  const auto std = number_in<double>(name, kPowerPrefix, kWeightSuffix);
  return std ? std::optional(AverageState{.power_std = std}) : std::nullopt;
}

std::string snapshot_name(int64_t step, double std) {
  return concat(checkpoint_name(step), kStdPrefix, shortest(std), kWeightSuffix);
}

std::optional<std::pair<int64_t, double>> snapshot_in(const fs::path& file) {
  const std::string name = file.filename().string();
  const size_t middle = std::min(name.find(kStdPrefix), name.size());
  const auto step = number_in<int64_t>(name.substr(0, middle), kStepPrefix, "");
  const auto std = number_in<double>(name.substr(middle), kStdPrefix, kWeightSuffix);
  return step && std ? std::optional(std::pair(*step, *std)) : std::nullopt;
}

std::string checkpoint_name(int64_t step) {
  return concat(kStepPrefix, std::setw(8), std::setfill('0'), step);
}

std::vector<int64_t> saved_steps(const fs::path& checkpoints) {
  std::vector<int64_t> steps;
  if (!fs::is_directory(checkpoints)) return steps;
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    const auto step = number_in<int64_t>(entry.path().filename().string(), kStepPrefix, "");
    if (step && entry.is_directory() && !entry.is_symlink()) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  return steps;
}

std::vector<std::string> parameter_names(const torch::nn::Module& module, const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& parameter : module.named_parameters()) names.push_back(prefix + parameter.key());
  return names;
}

std::vector<std::string> trained_names(Trainer& trainer) {
  std::vector<std::string> names = parameter_names(trainer.student().network());
  if (trainer.learned() != nullptr) {
    for (auto& name : parameter_names(*trainer.learned(), "objective.")) names.push_back(std::move(name));
  }
  return names;
}

NamedTensors named_like(const std::vector<std::string>& names, const std::vector<Tensor>& values,
                        const std::string& prefix) {
  NamedTensors named;
  for (size_t i = 0; i < names.size(); ++i) named[prefix + names[i]] = values[i];
  return named;
}

}  // namespace cm
