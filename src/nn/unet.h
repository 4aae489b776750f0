// A U-Net from its plan (cm/nn/unet_plan.h).
#pragma once

#include <functional>
#include <memory>

#include "unet_blocks.h"

namespace cm {

// [B, plan.embedding_width] of what a network is told, with the SiLU that every block begins with.
using EmbeddingFunction = std::function<Tensor(const Conditioning& told)>;

// What a second time's part of an embedding is called.
inline constexpr const char* kSecondTime = "second_time";

// Registers the layers of an embedding in the network and returns it.
using EmbeddingMaker = std::function<EmbeddingFunction(torch::nn::Module& network, Initializer& initializer)>;

// check_network_input, of sides that every level can halve.
void check_unet_input(const UNetOptions& options, const ImageSpec& image, const Tensor& x,
                      const Tensor& labels);

std::shared_ptr<Network> make_unet(UNetPlan plan, const UNetOptions& options, const ImageSpec& image,
                                   const EmbeddingMaker& embedding, Initializer initializer);

}  // namespace cm
