#include "cm/cli/reference_options.h"

#include <CLI/CLI.hpp>

#include "cm/base/text.h"
#include "cm/cli/command_line.h"
#include "cm/data/pictures.h"

namespace cm {

CLI::Option* add_reference_options(CLI::App& app, ReferenceOptions& options) {
  CLI::Option* reference = app.add_option("--reference", options.reference,
                                          concat("what the images are compared with: ", stored_image_kinds(),
                                                 ", or .npz with statistics (mu, sigma)"))
                               ->type_name("FILE");
  app.add_option("--features", options.features.source,
                 concat("pixels; inception (", kInceptionFile,
                        ", which scripts/export_inception.py makes) or inception:FILE; dinov2 (", kDinov2File,
                        ", which scripts/export_dinov2.py makes) or dinov2:FILE; a classifier file that "
                        "scripts/train_digit_classifier.py made; or a TorchScript module of your own, from "
                        "uint8 [N, C, H, W] to features [N, D]"))
      ->type_name("FILE")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--resize",
         [&options](const std::string& name) {
           options.features.resize = named_option<InceptionResize>("--resize", name);
         },
         "how Inception's images get their size: tensorflow (default), as the official evaluator and "
         "torch-fidelity; pytorch, as pytorch-fid; clean, as clean-fid. FIDs by different rules can't be "
         "compared, so statistics that don't tell theirs need it said")
      ->type_name(choices_of<InceptionResize>());
  return reference;
}

}  // namespace cm
