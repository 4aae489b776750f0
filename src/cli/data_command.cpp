#include "cm/cli/data_command.h"

#include <algorithm>
#include <iostream>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"
#include "cm/data/image_zip.h"
#include "cm/data/pairs.h"
#include "cm/io/zip_archive.h"
#include "cm/run/run_config.h"
#include "cm/yaml/reader.h"
#include "image_output.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

int64_t checked_count(const DataCommand& command, const Dataset& dataset) {
  const int64_t count = command.count.value_or(dataset.size());
  if (count < 1 || count > dataset.size()) {
    throw InputError(
        concat("--num must be in [1, ", dataset.size(), "], the images of the data, got ", count));
  }
  return count;
}

ImageOutput output_of(const DataCommand& command) {
  return {.folder = *command.out, .write_pngs = command.write_pngs};
}

void check_where_to(const DataCommand& command) {
  if (command.out.has_value() == command.to_zip.has_value())
    throw InputError("give one of --out, a folder, and --to-zip, an archive to train on");
  if (command.encode.vae) {
    if (!is_zip(*command.out))
      throw InputError(concat("--out ", *command.out, ": must be the name of a .zip file for --encode"));
    if (command.write_pngs)
      throw InputError("--png: writes images, and --encode latents; leave one of both out");
    return refuse_to_replace(*command.out, command.force);
  }
  if (command.out) return check_output(output_of(command), command.force);
  if (!is_zip(*command.to_zip))
    throw InputError(concat("--to-zip ", *command.to_zip, ": must be the name of a .zip file"));
  refuse_to_replace(*command.to_zip, command.force);
}

fs::path write_archive(const fs::path& path, const Dataset& dataset, int64_t count) {
  create_folder_of(path);
  Progress progress("images", count);
  write_image_zip(path, dataset, count, [&](int64_t images) { progress.update(images); });
  return path;
}

fs::path write_folder(const DataCommand& command, const Dataset& dataset, int64_t count) {
  const ImageOutput output = output_of(command);
  const Examples images = first_examples(dataset, count);
  write_pixels(output, images.pixels, images.labels,
               make_grid(images.pixels.narrow(0, 0, std::min(kGridImages, count))));
  return output.folder / "samples.npz";
}

void refuse_latents(const DataOptions& data, const Dataset& dataset) {
  const bool latents = dataset.latents() || (dataset.pairs() && dataset.pairs()->set().latents);
  if (!latents) return;
  throw InputError(concat("--config: ", data.path,
                          " has latents, which are no images; name images by data.kind and data.path"));
}

}  // namespace

int run_data_command(const DataCommand& command) {
  check_where_to(command);
  const auto config = read_config<RunConfig>(load_yaml(command.config), command.overrides);
  const auto dataset = open_dataset(config.data);
  const int64_t count = checked_count(command, *dataset);
  if (command.encode.vae) {
    encode_data(command.encode, config.data, *dataset, count, *command.out, command.force);
    return 0;
  }
  refuse_latents(config.data, *dataset);
  const fs::path written = command.to_zip ? write_archive(*command.to_zip, *dataset, count)
                                          : write_folder(command, *dataset, count);
  std::cout << count << " of " << dataset->size() << " images of " << config.data.path << ", "
            << dataset->channels() << " × " << dataset->image_size() << " × " << dataset->image_size() << ": "
            << written.string() << '\n';
  return 0;
}

}  // namespace cm
