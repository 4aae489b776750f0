// What an evaluation says: one JSON object for programs, the same as a table for people.
#pragma once

#include <string>
#include <vector>

#include "cm/io/json.h"
#include "cm/metrics/evaluate.h"

namespace cm {

// {"frechet": 1.2, …, "features": {"name", "width", "file", "sha256", …}, "samples": {"path", "count"},
//  "reference": {"path", "count"}, "image_shape": [C, H, W]}, and with a calibration how it was made:
// "calibration": {"floor_splits", "floor_half", "gaussian_samples", "seed"}. Without a file, "file" and
// "sha256" are null. Of Inception, "features" has "resize", "source" and "source_sha256" too.
Json report_of(const std::vector<Score>& scores, const ImageSet& samples, const ImageSet& reference,
               const FeatureExtractor& extractor, const EvaluationOptions& options);

// A line a score, then where the numbers come from; ends with a new line.
std::string table_of(const Json& report);

}  // namespace cm
