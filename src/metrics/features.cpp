#include "cm/metrics/features.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"
#include "cm/distributed/spread.h"
#include "cm/io/file_digest.h"
#include "cm/io/image.h"
#include "cm/io/safetensors.h"
#include "cm/metrics/inception_features.h"
#include "digit_classifier.h"
#include "script_features.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr auto kPixels = "pixels";
constexpr auto kInception = "inception";
constexpr auto kDinov2 = "dinov2";

// What to tell a user who has no such file.
constexpr auto kDinov2Command =
    ".venv/bin/python scripts/export_dinov2.py --weights dinov2_vitl14_pretrain.pth --out weights/dinov2.pt";

// Features by which published numbers are defined: NAME is the file where its script is told to put it,
// NAME:FILE another.
struct Published {
  const char* name;
  const char* file;
  const char* command;
  const char* weights;  // of which the command makes it
};
constexpr std::array kPublished = {
    Published{kInception, kInceptionFile, kInceptionCommand,
              "a file that pytorch-fid or torch-fidelity uses"},
    Published{kDinov2, kDinov2File, kDinov2Command, "the authors' weights or timm's"}};

struct NamedSource {
  const Published* published;
  fs::path file;
};

// None for a source of no published name.
std::optional<NamedSource> named_source(const std::string& source) {
  for (const Published& published : kPublished) {
    if (source == published.name) return NamedSource{&published, published.file};
    const std::string prefix = concat(published.name, ':');
    if (source.starts_with(prefix)) return NamedSource{&published, source.substr(prefix.size())};
  }
  return std::nullopt;
}

std::string kind_of(const fs::path& file) {
  return metadata_at(read_safetensors_header(file).metadata, "kind");
}

void refuse_resize(const FeatureOptions& options) {
  if (!options.resize) return;
  throw InputError(concat("a rule of resizing (", to_string(*options.resize),
                          ") belongs to Inception features, but these are ", options.source,
                          "; leave it out"));
}

std::unique_ptr<FeatureExtractor> digit_classifier(const fs::path& file, const ImageShape& shape,
                                                   torch::Device device) {
  auto classifier = std::make_unique<DigitClassifier>(file, device);
  if (classifier->image_shape() != shape) {
    throw InputError(concat(file.string(), ": this classifier takes images of ",
                            to_string(classifier->image_shape()), ", but these are ", to_string(shape),
                            "; use features that fit, or pixels"));
  }
  return classifier;
}

std::unique_ptr<FeatureExtractor> dinov2(const fs::path& file, const ImageShape& shape,
                                         torch::Device device) {
  const auto makes = concat("; ", kDinov2Command, " makes DINOv2's features");
  try {
    auto features = std::make_unique<ScriptFeatures>(file, shape, device);
    if (features->name() == kDinov2) return features;
    throw InputError(concat(file.string(), ": holds the features ", features->name(), ", not ", kDinov2));
  } catch (const InputError& mistake) {
    throw InputError(concat(mistake.what(), makes));
  }
}

// The parts of an activation, to be joined over the batches.
void append(std::vector<Tensor>& parts, std::optional<Tensor> part) {
  if (part) parts.push_back(std::move(*part));
}
std::optional<Tensor> joined(const std::vector<Tensor>& parts) {
  return parts.empty() ? std::nullopt : std::optional(torch::cat(parts));
}

void check_finite_activations(const Tensor& activations, const FeatureExtractor& extractor) {
  if (torch::isfinite(activations).all().item<bool>()) return;
  const std::string source = extractor.file() ? extractor.file()->string() : extractor.name();
  throw InputError(concat(source, ": gives features that are NaN or infinite; check its weights"));
}

// Of one rank's images.
Activations activations_of_share(const Share& share, const PixelSource& pixels,
                                 const FeatureExtractor& extractor, const Wanted& wanted,
                                 int64_t batch_size) {
  std::vector<Tensor> features;
  std::vector<Tensor> spatial;
  std::vector<Tensor> logits;
  Progress progress(concat("features of ", share.count, " images"), share.count);
  for (int64_t done = 0; done < share.count; done += batch_size) {
    const int64_t n = std::min(batch_size, share.count - done);
    for (const Tensor& part : pixels(share.first + done, n).split(extractor.most_at_once())) {
      Activations activations = extractor(part, wanted);
      if (activations.features.defined()) features.push_back(std::move(activations.features));
      append(spatial, std::move(activations.spatial));
      append(logits, std::move(activations.logits));
    }
    progress.update(done + n);
  }
  Activations all{
      .features = joined(features).value_or(Tensor()), .spatial = joined(spatial), .logits = joined(logits)};
  if (all.features.defined()) check_finite_activations(all.features, extractor);
  if (all.spatial) check_finite_activations(*all.spatial, extractor);
  if (all.logits) check_finite_activations(*all.logits, extractor);
  return all;
}

}  // namespace

Activations PixelFeatures::operator()(const Tensor& pixels, const Wanted&) const {
  TORCH_CHECK(pixels.dim() == 4 && pixels[0].numel() == width(), "expected images of ", to_string(shape_),
              ", got ", pixels.sizes());
  Activations activations;
  activations.features = from_uint8(pixels.to(device_)).flatten(1);
  return activations;
}

std::optional<fs::path> feature_file(const std::string& source) {
  if (source == kPixels) return std::nullopt;
  const auto named = named_source(source);
  const fs::path file = named ? named->file : fs::path(source);
  if (fs::is_regular_file(file)) return file;
  if (named) {
    throw InputError(concat("features '", source, "': there is no file '", file.string(), "'; ",
                            named->published->command, " makes one of ", named->published->weights));
  }
  throw InputError(concat("features '", source,
                          "' are neither pixels nor inception nor dinov2 nor a file that exists",
                          did_you_mean(source, {kPixels, kInception, kDinov2})));
}

std::unique_ptr<FeatureExtractor> make_features(const FeatureOptions& options, const ImageShape& shape,
                                                torch::Device device) {
  const auto file = feature_file(options.source);
  const auto named = named_source(options.source);
  const std::string name = named ? named->published->name : "";
  const bool script = file && !named && is_torchscript(*file);
  if (name == kInception || (file && !named && !script && kind_of(*file) == kInceptionKind)) {
    return std::make_unique<InceptionFeatures>(*file, options.resize.value_or(InceptionResize::tensorflow),
                                               device);
  }
  refuse_resize(options);
  if (!file) return std::make_unique<PixelFeatures>(shape, device);
  if (name == kDinov2) return dinov2(*file, shape, device);
  if (script) return std::make_unique<ScriptFeatures>(*file, shape, device);
  return digit_classifier(*file, shape, device);
}

Json feature_record(const FeatureExtractor& extractor) {
  Json record = {
      {"name", extractor.name()}, {"width", extractor.width()}, {"file", nullptr}, {"sha256", nullptr}};
  if (const auto file = extractor.file()) {
    record["file"] = file->string();
    record["sha256"] = sha256_of(*file);
  }
  for (const auto& [name, value] : extractor.details()) record.emplace(name, value);
  return record;
}

std::string feature_identity(const FeatureExtractor& extractor) {
  Json record = feature_record(extractor);
  for (const char* place : {"file", "source"}) record.erase(place);
  return json_text(record);
}

Activations activations_of(int64_t count, const PixelSource& pixels, const FeatureExtractor& extractor,
                           const Wanted& wanted, int64_t batch_size, const World& world) {
  const Activations mine =
      activations_of_share(share_in_batches(count, batch_size, world), pixels, extractor, wanted, batch_size);
  if (world.size() == 1) return mine;
  const auto joined_ranks = [&](const Tensor& part) {
    return world.gather(part.defined() ? part.cpu() : torch::empty({0}));
  };
  Activations all;
  if (wanted.features) all.features = joined_ranks(mine.features);
  if (wanted.spatial) all.spatial = joined_ranks(mine.spatial.value_or(Tensor()));
  if (wanted.logits) all.logits = joined_ranks(mine.logits.value_or(Tensor()));
  return all;
}

Activations activations_of(const Tensor& pixels, const FeatureExtractor& extractor, const Wanted& wanted,
                           int64_t batch_size) {
  const auto source = [&](int64_t first, int64_t n) { return pixels.narrow(0, first, n); };
  return activations_of(pixels.size(0), source, extractor, wanted, batch_size);
}

}  // namespace cm
