// What an evaluation says: one JSON object for programs, the same as a table for people.
#pragma once

#include <string>
#include <vector>

#include "cm/io/json.h"
#include "cm/metrics/evaluate.h"

namespace cm {

// {"frechet": 1.2, …, "features": {"name", "width", "file", "sha256", …}, "samples": {"path", "count"},
//  "reference": {"path", "count", "statistics"}, "image_shape": [C, H, W], "seed", "warnings": […]}, and with
//  a
// calibration how it was made: "calibration": {"floor_splits", "floor_half", "gaussian_samples", "seed"}. The
// reference's "count" is null where it is statistics alone; "statistics" says whether its distances come from
// some. Without a file, "file" and "sha256" are null. Of Inception, "features" has "resize", "source" and
// "source_sha256" too.
Json report_of(const std::vector<Score>& scores, const ImageSet& samples, const Reference& reference,
               const FeatureExtractor& extractor, const EvaluationOptions& options,
               const std::vector<std::string>& warnings = {});

// A line a score, then where the numbers come from; ends with a new line.
std::string table_of(const Json& report);

}  // namespace cm
