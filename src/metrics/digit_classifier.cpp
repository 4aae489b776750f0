#include "digit_classifier.h"

#include <charconv>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/image.h"

namespace cm {
namespace {

constexpr auto kKind = "digit_classifier";
constexpr int64_t kMaxImageSize = 1024;  // far above any digit; bounds what a broken file can ask for

int64_t positive_at(const std::filesystem::path& file, const Metadata& metadata, const std::string& key) {
  const std::string text = metadata_at(metadata, key);
  int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size() || number < 1 || number > kMaxImageSize) {
    throw InputError(concat(file.string(), ": metadata '", key, "' must be a number from 1 to ",
                            kMaxImageSize, ", got '", text, "'; train the classifier again"));
  }
  return number;
}

// The tensors of a classifier and their shapes. The widths of the convolutions are the file's own.
std::map<std::string, std::vector<int64_t>> expected_shapes(const NamedTensors& tensors,
                                                            const ImageShape& shape, int64_t hidden,
                                                            int64_t classes) {
  const auto rows = [&](const std::string& name) {
    const auto found = tensors.find(name);
    return found == tensors.end() || found->second.dim() == 0 ? 1 : found->second.size(0);
  };
  const int64_t first = rows("conv1.weight");
  const int64_t second = rows("conv2.weight");
  const int64_t positions = ((shape.height + 1) / 2) * ((shape.width + 1) / 2);
  return {
      {"conv1.weight", {first, shape.channels, 3, 3}},
      {"conv1.bias", {first}},
      {"conv2.weight", {second, first, 3, 3}},
      {"conv2.bias", {second}},
      {"hidden.weight", {hidden, second * positions}},
      {"hidden.bias", {hidden}},
      {"logits.weight", {classes, hidden}},
      {"logits.bias", {classes}},
  };
}

}  // namespace

DigitClassifier::DigitClassifier(const std::filesystem::path& file, torch::Device device)
    : file_(file), device_(device) {
  const SafetensorsFile content = load_safetensors(file);
  const std::string kind = metadata_at(content.metadata, "kind");
  if (kind != kKind) {
    throw InputError(concat(file.string(), ": no digit classifier (metadata kind is '", kind, "', expected '",
                            kKind, "'); scripts/train_digit_classifier.py makes one"));
  }
  const int64_t side = positive_at(file, content.metadata, "image_size");
  shape_ = {.channels = positive_at(file, content.metadata, "channels"), .height = side, .width = side};
  const auto shapes = expected_shapes(content.tensors, shape_, positive_at(file, content.metadata, "hidden"),
                                      positive_at(file, content.metadata, "classes"));
  for (const auto& [name, expected] : shapes) {
    const auto found = content.tensors.find(name);
    if (found == content.tensors.end() || found->second.sizes() != torch::IntArrayRef(expected)) {
      throw InputError(concat(file.string(), ": tensor ", name, " must have the shape ",
                              torch::IntArrayRef(expected),
                              found == content.tensors.end() ? std::string(", but is missing")
                                                             : concat(", got ", found->second.sizes())));
    }
    weights_[name] = found->second.to(device, torch::kFloat32);
  }
}

Activations DigitClassifier::operator()(const Tensor& pixels, const Wanted&) const {
  TORCH_CHECK(pixels.dim() == 4 && (ImageShape{pixels.size(1), pixels.size(2), pixels.size(3)} == shape_),
              "expected images of ", to_string(shape_), ", got ", pixels.sizes());
  return no_grad([&] {
    Tensor x = from_uint8(pixels.to(device_));
    x = torch::relu(torch::conv2d(x, weight("conv1.weight"), weight("conv1.bias"), 1, 1));
    x = torch::relu(torch::conv2d(x, weight("conv2.weight"), weight("conv2.bias"), 2, 1));
    const Tensor features =
        torch::relu(torch::linear(x.flatten(1), weight("hidden.weight"), weight("hidden.bias")));
    return Activations{.features = features,
                       .spatial = std::nullopt,
                       .logits = torch::linear(features, weight("logits.weight"), weight("logits.bias"))};
  });
}

}  // namespace cm
