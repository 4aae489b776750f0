#include "cm/cli/data_command.h"

#include <algorithm>
#include <iostream>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/run/run_config.h"
#include "cm/yaml/reader.h"
#include "image_output.h"

namespace cm {
namespace {

constexpr int64_t kGridImages = 100;

int64_t checked_count(const DataCommand& command, const Dataset& dataset) {
  const int64_t count = command.count.value_or(dataset.size());
  if (count < 1 || count > dataset.size()) {
    throw InputError(
        concat("--num must be in [1, ", dataset.size(), "], the images of the data, got ", count));
  }
  return count;
}

}  // namespace

int run_data_command(const DataCommand& command) {
  const ImageOutput output{.folder = command.out, .write_pngs = command.write_pngs};
  check_output(output, command.force);
  const auto config = read_config<RunConfig>(load_yaml(command.config), command.overrides);
  const auto dataset = open_dataset(config.data);
  const Examples images = first_examples(*dataset, checked_count(command, *dataset));
  const int64_t count = images.pixels.size(0);
  write_pixels(output, images.pixels, images.labels,
               make_grid(images.pixels.narrow(0, 0, std::min(kGridImages, count))));
  std::cout << count << " of " << dataset->size() << " images of " << config.data.path << ", "
            << dataset->channels() << " × " << dataset->image_size() << " × " << dataset->image_size() << ": "
            << (output.folder / "samples.npz").string() << '\n';
  return 0;
}

}  // namespace cm
