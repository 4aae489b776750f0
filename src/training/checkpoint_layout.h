// What the files of a checkpoint are called, and the tensors in them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cm/io/safetensors.h"
#include "cm/training/run_files.h"
#include "cm/training/trainer.h"

namespace cm {

inline constexpr const char* kLatest = "latest";
inline constexpr const char* kModel = "model.safetensors";
inline constexpr const char* kTarget = "target.safetensors";
inline constexpr const char* kTeacher = "teacher.safetensors";
inline constexpr const char* kLearned = "objective.safetensors";
inline constexpr const char* kOptimizer = "optimizer.safetensors";
inline constexpr const char* kState = "state.json";
inline constexpr const char* kFirstMoment = "first_moment.";
inline constexpr const char* kSecondMoment = "second_moment.";

// The file of an average in a checkpoint, and the average of such a file, as far as its name tells.
std::string average_name(const AverageState& average);
std::optional<AverageState> average_named(const std::filesystem::path& file);

// The file of a snapshot in RUN/averages, and the step and σ_rel of such a file.
std::string snapshot_name(int64_t step, double std);
std::optional<std::pair<int64_t, double>> snapshot_in(const std::filesystem::path& file);

// The folder of a checkpoint after `step` steps, and the steps of such folders in RUN/checkpoints, ascending;
// links and what else lies there are none; of a folder that is not there, none.
std::string checkpoint_name(int64_t step);
std::vector<int64_t> saved_steps(const std::filesystem::path& checkpoints);

std::vector<std::string> parameter_names(const torch::nn::Module& module, const std::string& prefix = "");

// Of all that the optimizer updates, in its order.
std::vector<std::string> trained_names(Trainer& trainer);

// `values` by `names`, which are in the same order.
NamedTensors named_like(const std::vector<std::string>& names, const std::vector<Tensor>& values,
                        const std::string& prefix = "");

}  // namespace cm
