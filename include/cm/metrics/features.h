// Feature spaces: what an image looks like to a metric.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cm/base/tensor.h"
#include "cm/distributed/world.h"
#include "cm/io/json.h"
#include "cm/metrics/image_set.h"
#include "cm/metrics/inception_input.h"

namespace cm {

// What is asked of an extractor; what it has not, it leaves out.
struct Wanted {
  bool features = true;
  bool spatial = false;
  bool logits = false;
};

struct Activations {
  Tensor features;                // fp32 [N, width]; undefined unless wanted
  std::optional<Tensor> spatial;  // fp32 [N, 2023], of Inception
  std::optional<Tensor> logits;   // fp32 [N, classes], from a classifier
};

// Facts that belong to every number, by name: Inception's are how images are resized and where its weights
// come from.
using Details = std::map<std::string, std::string>;

class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  // Printed with every number: distances in different features can't be compared.
  virtual std::string name() const = 0;
  virtual int64_t width() const = 0;
  // Number of classes of its logits; 0 where it has none.
  virtual int64_t classes() const { return 0; }
  // Whether it is the network by which FID, sFID and the Inception Score are defined.
  virtual bool is_inception() const { return false; }
  // The file that it was read from, if any.
  virtual std::optional<std::filesystem::path> file() const { return std::nullopt; }
  virtual Details details() const { return {}; }
  // How many images a call does well to bring: more take memory and no less time.
  virtual int64_t most_at_once() const { return std::numeric_limits<int64_t>::max(); }
  // uint8 [N, C, H, W] on any device → activations on the extractor's device.
  virtual Activations operator()(const Tensor& pixels, const Wanted& wanted) const = 0;
};

// The pixels themselves, flattened in (c, h, w) order and scaled to [−1, 1] as the models see them.
class PixelFeatures : public FeatureExtractor {
 public:
  PixelFeatures(const ImageShape& shape, torch::Device device) : shape_(shape), device_(device) {}
  std::string name() const override { return "pixels"; }
  int64_t width() const override { return shape_.values(); }
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override;

 private:
  ImageShape shape_;
  torch::Device device_;
};

// Where the scripts that make them are told to put Inception's weights and DINOv2's module: what the sources
// "inception" and "dinov2" alone mean.
inline constexpr auto kInceptionFile = "weights/inception.safetensors";
inline constexpr auto kDinov2File = "weights/dinov2.pt";

struct FeatureOptions {
  // "pixels", "inception", "dinov2", the last two also as "NAME:FILE", or a FILE: Inception's weights or a
  // classifier's (src/metrics/digit_classifier.h), told apart by what they say they are, or a TorchScript
  // module (src/metrics/script_features.h), which is what DINOv2's are.
  std::string source = "pixels";
  std::optional<InceptionResize> resize;  // Inception's; tensorflow unless given
};

// The file that `source` means; none for pixels. InputError when there is no such file.
std::optional<std::filesystem::path> feature_file(const std::string& source);

// InputError for an unknown source, for a classifier of other images than `shape`, and for a rule of resizing
// beside features that don't resize.
std::unique_ptr<FeatureExtractor> make_features(const FeatureOptions& options, const ImageShape& shape,
                                                torch::Device device);

// What a number must say of its features: {"name", "width", "file", "sha256", …details}; without a file,
// "file" and "sha256" are null.
Json feature_record(const FeatureExtractor& extractor);

// The record without the file's place, as JSON text: equal for equal features.
std::string feature_identity(const FeatureExtractor& extractor);

// Images first … first + n − 1 of a set: uint8 [n, C, H, W] on any device.
using PixelSource = std::function<Tensor(int64_t first, int64_t n)>;

// The activations of `count` images that are asked for in their order, `batch_size` ≥ 1 at a time, and not
// kept. Spread over the ranks of `world` by whole batches, they are the same for any number of ranks: on rank
// 0, and undefined on the others. InputError when a feature isn't finite.
Activations activations_of(int64_t count, const PixelSource& pixels, const FeatureExtractor& extractor,
                           const Wanted& wanted, int64_t batch_size, const World& world = World());

// The same of images at hand, uint8 [N, C, H, W].
Activations activations_of(const Tensor& pixels, const FeatureExtractor& extractor, const Wanted& wanted,
                           int64_t batch_size);

}  // namespace cm
