// Gaussians of a reference set as files: the official release's .npz with `mu`, `sigma` (pool features, for
// FID) and `mu_s`, `sigma_s` (spatial features, for sFID).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cm/io/npz.h"
#include "cm/metrics/statistics.h"

namespace cm {

struct ReferenceStatistics {
  GaussianMoments features;                // mu [D], sigma [D, D]
  std::optional<GaussianMoments> spatial;  // mu_s [S], sigma_s [S, S]
  // In which features, as feature_identity (cm/metrics/features.h) has it: `features`, UTF-8 bytes. Empty in
  // others' files, whose features are Inception's. By which rule those got their images is known of the
  // official evaluator's alone, the only ones with spatial features: tensorflow.
  std::string identity = {};
};

// The names of all arrays that statistics_in looks at.
inline const std::vector<std::string> kStatisticsArrays = {"mu", "sigma", "mu_s", "sigma_s", "features"};

// The statistics among the arrays of the .npz at `path`, in float64 on the CPU; none when it has neither `mu`
// nor `sigma`. InputError, with the path, when one of a pair is missing, their sizes don't fit, a value isn't
// finite or sigma isn't symmetric.
std::optional<ReferenceStatistics> statistics_in(const NpzArrays& arrays, const std::string& path);

// Written atomically, float64, in a folder that is made if need be.
void save_statistics(const std::filesystem::path& path, const ReferenceStatistics& statistics);

}  // namespace cm
