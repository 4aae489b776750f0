// A U-Net as data: its layers in the order of the forward pass, with sizes and names. The network is built
// from it, its memory and operations are counted by it, and names and shapes of weights are told from it.
#pragma once

#include <string>
#include <vector>

#include "cm/nn/resample.h"
#include "cm/nn/unet_options.h"

namespace cm {

struct UNetStage {
  enum class Section { encoder, middle, decoder };
  enum class Kind {
    convolution,  // 3×3, strided on the way down, behind nearest neighbours on the way up
    block,        // residual, with self-attention at its end where it has heads
    attention,    // self-attention, residual
    resampling,   // without weights
    image,        // NCSN++: the input image, level by level smaller, joins the features
  };

  Section section;
  Kind kind;
  int64_t in;  // channels; of a stage that closes, with those of the skip connection
  int64_t out;
  int64_t side;  // of its input, in pixels
  Resample resample = Resample::none;
  int64_t heads = 0;      // of its attention
  bool opens = false;     // a skip connection begins with its output
  bool closes = false;    // one ends: it is concatenated to the input
  std::string name = {};  // of its parameters

  int64_t out_side() const;
};

// What the parts of a residual block are called, below the stage's name.
struct BlockNames {
  const char* in_norm;
  const char* in_conv;
  const char* embedding;
  const char* out_norm;
  const char* out_conv;
  const char* skip;
  const char* attention_norm;
  const char* qkv;
  const char* projection;
};

// What the layers of one architecture have that those of others have not.
struct UNetStyle {
  BlockNames names;
  int64_t (*groups)(int64_t channels);  // of normalisation
  double epsilon;                       // of normalisation
  // Initial weights by Glorot's rule, those at the end of a branch 1e-5 times as large; otherwise PyTorch's,
  // those 0.
  bool glorot;
  bool halves_variance;  // divides the sum of two branches by √2
  bool skip_resamples;   // a change of resolution has a 1×1 convolution on the skipping branch
  ResampleFilter filter = ResampleFilter::box;
};

// Whether a block's skipping branch is a 1×1 convolution.
bool has_skip_convolution(const UNetStage& stage, const UNetStyle& style);

struct UNetPlan {
  std::vector<UNetStage> stages;
  UNetStyle style;
  std::string output_norm;
  std::string output_conv;
  // The two layers of the embedding of time: `features` → embedding_width → embedding_width.
  std::string embedding;
  std::string embedding_end;
  std::string labels;      // what holds a row or column a class
  int64_t features;        // of a time, where the embedding begins
  bool labels_are_linear;  // `labels` is a linear layer, classes → features, otherwise a table of embeddings
  int64_t embedding_width;
  bool scale_shift_norm;
};

// Channels of a level.
int64_t channels_at(const UNetOptions& options, size_t level);

// What the order of a U-Net's layers depends on besides its options.
struct UNetShape {
  int64_t first_channels;  // of the first convolution
  bool attention_apart;    // stages of their own rather than ends of blocks
  bool attends_once_up;    // in the decoder: behind the last block of a level alone
  UNetStage::Kind resampling = UNetStage::Kind::block;  // what changes the resolution
  bool shrinks_image = false;                           // has stages of kind `image`
};

// The stages without their names. `options` fit the image.
std::vector<UNetStage> unet_stages(const UNetOptions& options, const ImageSpec& image,
                                   const UNetShape& shape);

}  // namespace cm
