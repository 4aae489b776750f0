// What images are compared with, and in which features: options of every executable that computes metrics.
#pragma once

#include <string>

#include "cm/metrics/features.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cm {

// The kinds of image sets that are read, for the help of an option.
constexpr const char* kImageSets = ".npz (arr_0), folder of images or digits .csv.gz";

struct ReferenceOptions {
  std::string reference;  // a path that load_reference reads
  FeatureOptions features;
};

// Declares --reference, which it returns, --features and --resize.
CLI::Option* add_reference_options(CLI::App& app, ReferenceOptions& options);

}  // namespace cm
