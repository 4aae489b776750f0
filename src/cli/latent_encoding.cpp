#include "cm/cli/latent_encoding.h"

#include <CLI/CLI.hpp>
#include <atomic>
#include <future>
#include <iostream>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/limits.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"
#include "cm/cli/number_option.h"
#include "cm/data/latent_zip.h"
#include "cm/io/image.h"
#include "cm/io/json.h"
#include "cm/training/autoencoder_folder.h"
#include "cm/training/image_codec.h"
#include "named_option.h"
#include "ranks.h"
#include "set_making.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

void check_images(const Dataset& dataset, const DataOptions& data, const AutoencoderOptions& vae) {
  if (dataset.numbers()) {
    throw InputError(concat("--encode: ", data.path, " has ", to_string(data.kind),
                            ", and a VAE encodes images; name those by data.kind and data.path"));
  }
  if (dataset.channels() != vae.channels) {
    throw InputError(concat("--encode: the VAE takes images of ", vae.channels, " channels, but those of ",
                            data.path, " have ", dataset.channels(), "; set data.channels=", vae.channels,
                            " for image files, or name other images"));
  }
  if (const int64_t f = downsampling(vae); dataset.image_size() % f != 0) {
    throw InputError(concat("--encode: the VAE takes images whose side is a multiple of ", f,
                            ", but those of ", data.path, " are ", dataset.image_size(),
                            " wide; set data.image_size=", std::max(f, dataset.image_size() / f * f),
                            " for image files"));
  }
}

// What decides the images, besides their files.
std::string images_record(const DataOptions& data) {
  Json record = json_of(data);
  for (const char* key : {"horizontal_flip", "workers", "latents"}) record.erase(key);
  return json_text(record);
}

// Images first … first + n − 1, decoded by so many threads.
Examples read_examples(const Dataset& dataset, int64_t first, int64_t n, int64_t workers) {
  std::vector<Tensor> pixels(static_cast<size_t>(n));
  std::vector<int64_t> labels(static_cast<size_t>(n));
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    for (int64_t i = next++; i < n; i = next++) {
      Example example = dataset.get(first + i);
      pixels[static_cast<size_t>(i)] = std::move(example.pixels);
      labels[static_cast<size_t>(i)] = example.label;
    }
  };
  std::vector<std::future<void>> working;
  for (int64_t i = 0; i < std::min(workers, n); ++i) working.push_back(std::async(std::launch::async, work));
  for (auto& worker : working) worker.get();
  return {torch::stack(pixels), torch::tensor(labels, torch::kInt64)};
}

// Encodes while the next images are read.
void encode_file(const SetFile& file, const LatentSet& set, const Dataset& dataset, int64_t batch,
                 int64_t workers, const std::function<Tensor(const Tensor& pixels)>& moments_of,
                 const std::function<void(int64_t examples)>& made) {
  const auto read = [&](int64_t done) {
    const int64_t n = std::min(batch, file.count - done);
    return std::async(std::launch::async,
                      [=, &dataset, &file] { return read_examples(dataset, file.first + done, n, workers); });
  };
  std::vector<Tensor> moments;
  std::vector<Tensor> labels;
  auto next = read(0);
  for (int64_t done = 0; done < file.count;) {
    const Examples examples = next.get();
    const int64_t n = examples.pixels.size(0);
    if (done + n < file.count) next = read(done + n);
    moments.push_back(moments_of(examples.pixels));
    labels.push_back(examples.labels);
    done += n;
    made(n);
  }
  save_latents(file, set, torch::cat(moments), set.classes > 0 ? torch::cat(labels) : Tensor());
}

std::string key_list(const char* key, const std::vector<double>& values) {
  std::vector<std::string> words;
  for (const double value : values) words.push_back(significant(value, 4));
  return concat("data.latents.", key, "=[", join(words, ","), "]");
}

// The files become the archive.
void assemble(const LatentSet& set, const fs::path& archive, const std::string& images) {
  const fs::path folder = latent_folder(archive);
  create_folder_of(archive);
  LatentStatistics statistics;
  {
    Progress progress("writing", set.count);
    statistics = write_latent_zip(archive, set, files_of(set, folder),
                                  [&](int64_t latents) { progress.update(latents); });
  }
  remove_folder_atomically(folder);
  std::cout << set.count << " images of " << images << " as latents, " << set.channels << " × " << set.side
            << " × " << set.side << ", of the VAE " << set.origin.vae_hash.substr(0, 12)
            << "…: " << archive.string() << "\n"
            << key_list("mean", statistics.mean) << ' ' << key_list("std", statistics.std) << '\n';
}

}  // namespace

void add_encode_options(CLI::App& app, EncodeOptions& options, CLI::Option* out) {
  auto* encode =
      app.add_option("--encode", options.vae,
                     "folder of a VAE, as diffusers saves it: --out is a .zip of the images' latents, as "
                     "EDM2's dataset_tool.py makes, to train on (data.kind=latents). The same command "
                     "again goes on where one was interrupted")
          ->type_name("FOLDER")
          ->needs(out);
  add_named_option<PixelRange>(
      app, "--pixels",
      "how the VAE is told pixels: symmetric (-1 to 1, default) or unit (0 to 1, as EDM2 "
      "does)",
      [&options](PixelRange range) { options.pixels = range; })
      ->needs(encode);
  add_number_option(app, "--batch", options.batch, "images encoded at once", within(1, kMostAtOnce))
      ->capture_default_str()
      ->needs(encode);
  app.add_option("--device", options.device, "cpu, cuda, cuda:N, or auto: CUDA if there is any")
      ->capture_default_str()
      ->needs(encode);
}

void encode_data(const EncodeOptions& options, const DataOptions& data, const Dataset& dataset, int64_t count,
                 const fs::path& archive, bool anew) {
  const Ranks ranks = join_ranks({.device = options.device, .seed = {}, .force = anew});
  std::shared_ptr<Autoencoder> vae;
  LatentSet set;
  const fs::path folder = latent_folder(archive);
  ranks.world.together([&] {
    vae = load_autoencoder(*options.vae, {.device = ranks.device});
    const AutoencoderOptions& shape = vae->options();
    check_images(dataset, data, shape);
    set = {.count = count,
           .channels = shape.latent_channels,
           .side = dataset.image_size() / downsampling(shape),
           .classes = dataset.classes(),
           .origin = {.vae_hash = vae->hash(), .pixels = options.pixels},
           .made_of = images_record(data)};
    if (!anew) refuse_other_latents(folder, set);
  });
  const auto moments_of = [&](const Tensor& pixels) {
    return no_grad(
        [&] { return moments_of_images(*vae, options.pixels, from_uint8(pixels.to(ranks.device))).cpu(); });
  };
  const auto make = [&](const SetFile& file, const std::function<void(int64_t)>& made) {
    encode_file(file, set, dataset, options.batch, data.workers, moments_of, made);
  };
  make_files(ranks.world, folder, files_of(set, folder),
             anew ? latent_files_in(folder) : std::vector<fs::path>(), "encoding", make);
  if (ranks.world.is_first()) assemble(set, archive, data.path);
}

}  // namespace cm
