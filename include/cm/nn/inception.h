// Inception-v3 as FID, sFID and the Inception Score are defined by it: TensorFlow's network of 2015-12-05
// (classify_image_graph_def.pb), which is not torchvision's. For inference alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cm/nn/inception_blocks.h"

namespace cm {

// What is asked of a pass. It ends as soon as it has all of them.
struct InceptionOutputs {
  bool pool = true;      // for FID
  bool spatial = false;  // for sFID
  bool logits = false;   // for the Inception Score
};

// Undefined where not asked for.
struct InceptionActivations {
  Tensor pool;     // pool_3: the mean over all positions of the last block, [B, 2048]
  Tensor spatial;  // the first 7 channels of mixed_6/conv, in (h, w, c) order: [B, 17 · 17 · 7]
  Tensor logits;   // of the 1,008 classes, without the bias, as the Inception Score takes them: [B, 1008]
};

class Inception {
 public:
  static constexpr int64_t kSide = 299;
  static constexpr int64_t kPoolWidth = 2048;
  static constexpr int64_t kSpatialWidth = 2023;
  static constexpr int64_t kClasses = 1008;

  // Names and shapes of the weights, on the meta device: torchvision's names, "Conv2d_1a_3x3.conv.weight" …
  // "Mixed_7c.branch_pool.bn.running_var", and "fc.weight".
  static std::map<std::string, Tensor> weights_like();

  // Normalisations are folded into the convolutions. InputError, with `what` in front, for other weights than
  // weights_like().
  Inception(const std::map<std::string, Tensor>& weights, const torch::Device& device,
            const std::string& what);

  // fp32 [B, 3, 299, 299] in [−1, 1] → what is asked for, in fp32. Records no gradient.
  InceptionActivations forward(const Tensor& images, const InceptionOutputs& outputs) const;

 private:
  explicit Inception(const WeightLookup& source);

  std::vector<NormedConvolution> first_;   // 3 to 64 channels, then a pooling
  std::vector<NormedConvolution> second_;  // to 192 channels, then a pooling
  std::vector<InceptionA> mixed_5_;        // 35 × 35 pixels
  InceptionB mixed_6a_;
  std::vector<InceptionC> mixed_6_;  // 17 × 17
  NormedConvolution spatial_;
  InceptionD mixed_7a_;
  std::vector<InceptionE> mixed_7_;  // 8 × 8
  Tensor fc_;
};

}  // namespace cm
