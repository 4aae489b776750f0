// What an evaluation says: one JSON object for programs, the same as a table for people.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cm/io/json.h"
#include "cm/metrics/evaluate.h"

namespace cm {

// {"frechet": 1.2, …, "features": {"name", "width", "file", "sha256", …}, "samples": {"path", "count"},
//  "reference": {"path", "count", "statistics"}, "image_shape": [C, H, W], "seed", "warnings": […]}, with is
// the rows of a chunk, "is_split", and with a calibration how it was made: "calibration": {"floor_splits",
// "floor_half", "gaussian_samples", "seed"}. "reference" is null where there is none, its "count" where it is
// statistics alone; "statistics" says whether its distances come from some. Without a file, "file" and
// "sha256" are null. Of Inception, "features" has "resize", "source" and "source_sha256" too.
Json report_of(const std::vector<Score>& scores, const SetHeader& samples,
               const std::optional<Reference>& reference, const FeatureExtractor& extractor,
               const EvaluationOptions& options, const std::vector<std::string>& warnings = {});

// The names of a report's scores.
std::vector<std::string> scores_in(const Json& report);

// A report's "samples" or "reference" in words; "samples" may say how they are made ("sampler",
// "evaluations").
std::string describe_set(const Json& set);

// What the scores rest on: features, reference, calibration, a line each; ends with a new line.
std::string basis_of(const Json& report);

// A line a score, then the samples and the basis.
std::string table_of(const Json& report);

}  // namespace cm
