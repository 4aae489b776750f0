// A network of the user's own as a feature space, by TorchScript.
#pragma once

#include "cm/metrics/features.h"

namespace torch::jit {
struct Module;
}

namespace cm {

// Whether the file begins as a TorchScript archive does (it is a zip archive). InputError when it can't be
// read.
bool is_torchscript(const std::filesystem::path& file);

// The extra file of a module in which it may say its name and other facts, a JSON object of strings:
// {"name": "dinov2", "resize": "torch", …}.
inline constexpr auto kFactsFile = "features.json";

// A module that torch.jit.save has written. It takes uint8 [N, C, H, W] in the images' own size, so that
// resizing and scaling are its own affair, and gives fp32 features [N, D], or a tuple of these and logits
// [N, classes].
class ScriptFeatures : public FeatureExtractor {
 public:
  // Asks the module about one black image of `shape`. InputError, with the file, when it can't be loaded,
  // fails, gives something else than the above, or says something else of itself.
  ScriptFeatures(const std::filesystem::path& file, const ImageShape& shape, torch::Device device);
  ~ScriptFeatures() override;
  ScriptFeatures(const ScriptFeatures&) = delete;
  ScriptFeatures& operator=(const ScriptFeatures&) = delete;

  // "torchscript" where the module doesn't say.
  std::string name() const override { return loaded_.name; }
  int64_t width() const override { return width_; }
  int64_t classes() const override { return classes_; }
  std::optional<std::filesystem::path> file() const override { return file_; }
  Details details() const override { return loaded_.details; }
  // On CUDA too in whole fp32, without TF32.
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override;

 private:
  struct Loaded {
    std::unique_ptr<torch::jit::Module> module;
    std::string name = "torchscript";
    Details details = {};
  };
  static Loaded load(const std::filesystem::path& file, torch::Device device);

  std::filesystem::path file_;
  torch::Device device_;
  Loaded loaded_;
  int64_t width_ = 0;
  int64_t classes_ = 0;
};

}  // namespace cm
