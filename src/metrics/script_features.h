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

// A module that torch.jit.save has written. It takes uint8 [N, C, H, W] in the images' own size, so that
// resizing and scaling are its own affair, and gives fp32 features [N, D], or a tuple of these and logits
// [N, classes].
class ScriptFeatures : public FeatureExtractor {
 public:
  // Asks the module about one black image of `shape`. InputError, with the file, when it can't be loaded,
  // fails, or gives something else than the above.
  ScriptFeatures(const std::filesystem::path& file, const ImageShape& shape, torch::Device device);
  ~ScriptFeatures() override;
  ScriptFeatures(const ScriptFeatures&) = delete;
  ScriptFeatures& operator=(const ScriptFeatures&) = delete;

  std::string name() const override { return "torchscript"; }
  int64_t width() const override { return width_; }
  int64_t classes() const override { return classes_; }
  std::optional<std::filesystem::path> file() const override { return file_; }
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override;

 private:
  std::filesystem::path file_;
  torch::Device device_;
  std::unique_ptr<torch::jit::Module> module_;
  int64_t width_ = 0;
  int64_t classes_ = 0;
};

}  // namespace cm
