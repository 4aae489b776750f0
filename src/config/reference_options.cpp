#include "cm/config/reference_options.h"

#include <CLI/CLI.hpp>

#include "cm/base/text.h"

namespace cm {

void add_reference_options(CLI::App& app, ReferenceOptions& options) {
  app.add_option("--reference", options.reference, concat("what the images are compared with: ", kImageSets))
      ->required();
  app.add_option("--features", options.features,
                 "pixels, or a classifier file that scripts/train_digit_classifier.py made")
      ->capture_default_str();
}

}  // namespace cm
