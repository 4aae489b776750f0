#include "cm/nn/dit.h"

#include <algorithm>

#include "cm/base/text.h"
#include "dit_blocks.h"
#include "network_input.h"

namespace cm {
namespace {

class Dit : public Network {
 public:
  Dit(const DitOptions& options, const ImageSpec& image, Initializer& initializer)
      : options_(options),
        image_(image),
        patches_(register_at(*this, "x_embedder.proj",
                             PatchEmbedding(initializer, image.channels, options.patch, options.width))),
        time_(*this, "t_embedder", options, initializer) {
    if (options.second_time) span_.emplace(*this, "h_embedder", options, initializer);
    if (image.classes > 0) {
      labels_ = register_at(*this, "y_embedder.embedding_table",
                            LabelTable(initializer, image.classes, options.width));
    }
    for (int64_t i = 0; i < options.depth; ++i)
      blocks_.emplace_back(*this, concat("blocks.", i), options, initializer);
    last_modulation_ = zero_linear(*this, "final_layer.adaLN_modulation.1", options.width, 2 * options.width);
    last_ = zero_linear(*this, "final_layer.linear", options.width,
                        options.patch * options.patch * answers() * image.channels);
  }

  void hold_in_compute_type() override {
    const torch::Dtype type = number_type(compute_type());
    if (type == last_->weight.scalar_type()) return;
    hold_layer(*patches_, type);
    for (auto& block : blocks_) block.hold(type);
  }

  bool takes_second_time() const override { return options_.second_time; }
  std::vector<std::string> ends_of_second_time() const override {
    return {"h_embedder.mlp.2.weight", "h_embedder.mlp.2.bias"};
  }

 protected:
  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& /*dropout_keys*/) override {
    check_network_input(image_, options_.patch, x, told.labels);
    const Tensor condition = activated(embedding(told), Activation::silu);
    const int64_t rows = x.size(2) / options_.patch;
    const int64_t columns = x.size(3) / options_.patch;
    Tensor h = patches_->forward(trunk_input(x));
    h = h + token_positions(rows, columns, options_.width, h.options());
    for (const auto& block : blocks_) h = block.forward(h, condition);
    const auto numbers = last_modulation_->forward(condition).unsqueeze(1).chunk(2, 2);
    const Tensor pixels = last_->forward(modulated_norm(h.to(x.scalar_type()), numbers[0], numbers[1]));
    return image_of(pixels, rows, columns);
  }

 private:
  int64_t answers() const { return options_.learned_variance ? 2 : 1; }

  Tensor embedding(const Conditioning& told) const {
    Tensor embedding = time_.forward(told.time);
    if (span_) embedding = embedding + span_->forward(told.time - told.second_time);
    return labels_.is_empty() ? embedding : embedding + labels_->forward(told.labels);
  }

  // The first answer of [B, rows · columns, p · p · answers · C] → [B, C, H, W].
  Tensor image_of(const Tensor& pixels, int64_t rows, int64_t columns) const {
    const int64_t patch = options_.patch;
    return pixels.view({pixels.size(0), rows, columns, patch, patch, -1})
        .narrow(5, 0, image_.channels)
        .permute({0, 5, 1, 3, 2, 4})
        .reshape({pixels.size(0), image_.channels, rows * patch, columns * patch});
  }

  DitOptions options_;
  ImageSpec image_;
  PatchEmbedding patches_;
  TimeEmbedding time_;
  std::optional<TimeEmbedding> span_;  // from the second time to the time
  LabelTable labels_ = nullptr;
  std::vector<DitBlock> blocks_;
  Linear last_modulation_ = nullptr;
  Linear last_ = nullptr;
};

// As published: of 64 numbers each, but for XL's.
int64_t published_heads(int64_t width) {
  constexpr int64_t kExtraLarge = 1152;
  if (width == kExtraLarge) return 16;
  return width % 64 == 0 ? width / 64 : 1;
}

}  // namespace

int64_t mlp_width(const DitOptions& options) {
  return static_cast<int64_t>(static_cast<double>(options.width) * options.mlp_ratio);
}

void validate(const DitOptions& options, const Complain& complain) {
  if (options.width % 4 != 0) {
    complain("width", concat("must be a multiple of 4 (a token's position is sines and cosines of two axes), "
                             "got ",
                             options.width));
  }
  if (options.width % options.heads != 0)
    complain("heads", concat("must divide the width (", options.width, "), got ", options.heads));
  if (mlp_width(options) < 1) {
    complain("mlp_ratio", concat("must leave a block's hidden layer a number, got ", options.mlp_ratio,
                                 " of a width of ", options.width));
  }
}

void validate_for(const DitOptions& options, const ImageSpec& image, const Complain& complain) {
  if (image.size % options.patch == 0) return;
  complain("patch",
           concat("must divide the side of the images (", image.size, " pixels), got ", options.patch));
}

std::shared_ptr<Network> build(const DitOptions& options, const ImageSpec& image, Initializer initializer) {
  return std::make_shared<Dit>(options, image, initializer);
}

bool infer(const WeightShapes& weights, DitOptions& options, ImageSpec& image) {
  // 0 where there is no such tensor, or none of so many dimensions.
  const auto size = [&](const std::string& name, int64_t dim) -> int64_t {
    const auto found = weights.find(name);
    return found == weights.end() || found->second.dim() <= dim ? 0 : found->second.size(dim);
  };
  const std::string patches = "x_embedder.proj.weight";
  options.width = size(patches, 0);
  image.channels = size(patches, 1);
  options.patch = size(patches, 3);
  if (options.width == 0 || image.channels == 0 || options.patch == 0) return false;
  options.heads = published_heads(options.width);
  image.classes = std::max<int64_t>(0, size("y_embedder.embedding_table.weight", 0) - 1);
  options.second_time = weights.contains("h_embedder.mlp.0.weight");
  options.learned_variance =
      size("final_layer.linear.weight", 0) == 2 * options.patch * options.patch * image.channels;
  const std::string hidden = ".mlp.fc1.weight";
  options.depth =
      std::ranges::count_if(weights, [&](const auto& entry) { return entry.first.ends_with(hidden); });
  if (const int64_t rows = size("blocks.0" + hidden, 0); rows > 0)
    options.mlp_ratio = static_cast<double>(rows) / static_cast<double>(options.width);
  return true;
}

}  // namespace cm
