#include "cm/metrics/features.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"
#include "cm/distributed/spread.h"
#include "cm/io/image.h"
#include "cm/io/safetensors.h"
#include "cm/metrics/file_digest.h"
#include "cm/metrics/inception_features.h"
#include "digit_classifier.h"
#include "script_features.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr auto kPixels = "pixels";
constexpr auto kInception = "inception";
constexpr std::string_view kInceptionPrefix = "inception:";

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
  const bool prefixed = source.starts_with(kInceptionPrefix);
  const bool inception = prefixed || source == kInception;
  const fs::path file = prefixed               ? source.substr(kInceptionPrefix.size())
                        : source == kInception ? std::string(kInceptionFile)
                                               : source;
  if (fs::is_regular_file(file)) return file;
  if (inception) {
    throw InputError(concat("features '", source, "': there is no file '", file.string(), "'; ",
                            kInceptionCommand,
                            " makes one of a file that pytorch-fid or torch-fidelity uses"));
  }
  throw InputError(concat("features '", source, "' are neither pixels nor inception nor a file that exists",
                          did_you_mean(source, {kPixels, kInception})));
}

std::unique_ptr<FeatureExtractor> make_features(const FeatureOptions& options, const ImageShape& shape,
                                                torch::Device device) {
  const auto file = feature_file(options.source);
  const bool named_inception = options.source == kInception || options.source.starts_with(kInceptionPrefix);
  const bool script = file && !named_inception && is_torchscript(*file);
  if (named_inception || (file && !script && kind_of(*file) == kInceptionKind)) {
    return std::make_unique<InceptionFeatures>(*file, options.resize.value_or(InceptionResize::tensorflow),
                                               device);
  }
  refuse_resize(options);
  if (!file) return std::make_unique<PixelFeatures>(shape, device);
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
  for (const auto& [name, value] : extractor.details()) record[name] = value;
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
