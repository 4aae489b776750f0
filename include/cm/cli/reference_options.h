// What images are compared with, and in which features: options of every executable that computes metrics.
#pragma once

#include <string>

#include "cm/metrics/features.h"
#include "cm/metrics/image_set.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cm {

struct ReferenceOptions {
  std::string reference;  // a path that load_reference reads
  FeatureOptions features;
};

// Declares --reference, which it returns, --features and --resize.
CLI::Option* add_reference_options(CLI::App& app, ReferenceOptions& options);

}  // namespace cm
